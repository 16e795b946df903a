"""What the panel keeps in the scene."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class DRAMLesionParameterNode:
    """The choices on the panel, saved with the scene.

    inputVolume - The CT.
    lobes - A segmentation of its lobes; none: they are found.
    lobesMethod - How lobes are found where none are chosen: planes or TotalSegmentator.
    model - A model's name; empty: the default one.
    method - What makes the lesion: final, dram; empty: the final network where it is there.
    device - Where to compute: auto, cpu, cuda:0 and so on.
    heatmapOpacity - Of the lesion map over the CT, 0 to 1.
    heatmapThreshold - The lesion map's values below this are not shown, 0 to 1.
    show3D - Show lesion and lobes in 3-D views.
    insideLobes - Painting counts inside the lobes alone.
    autoRefine - Refine after each stroke.
    baseline - The first of two CTs to compare; none: a folder of results.
    followup - The later one.
    trainingFolder - Where accepted cases go.
    trainDataList - What to train on; empty: the training folder.
    trainRecipe - dram, final, fine-tune, or a recipe's file.
    trainName - Of the new model; empty: after the recipe.
    trainEpochs - How often each case is seen; 0: as the recipe says.
    trainDevice - Where to train.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    lobes: vtkMRMLSegmentationNode
    lobesMethod: str = "planes"
    model: str = ""
    method: str = ""
    device: str = "auto"
    heatmapOpacity: Annotated[float, WithinRange(0, 1)] = 0.5
    heatmapThreshold: Annotated[float, WithinRange(0, 1)] = 0.1
    show3D: bool = True
    insideLobes: bool = True
    autoRefine: bool = True
    baseline: vtkMRMLScalarVolumeNode
    followup: vtkMRMLScalarVolumeNode
    trainingFolder: str = ""
    trainDataList: str = ""
    trainRecipe: str = "dram"
    trainName: str = ""
    trainEpochs: int = 0
    trainDevice: str = "auto"
