"""What Python scripts call on the module's logic. It imports nothing, since Slicer reads it at start-up."""

from typing import Any


class Scripting:
    """The methods of ``DRAMLesionLogic`` for scripts; ``panelLogic`` does the work."""

    panelLogic: Any

    def segment(
        self,
        volumeNode: Any,
        lobesNode: Any = None,
        model: str | None = None,
        device: str = "auto",
        wait: bool = True,
        method: str | None = None,
    ) -> Any:
        """Segment the lesions of a CT in a child process.

        Args:
            volumeNode: The CT in HU.
            lobesNode: Segmentation of its lobes; None: they are found.
            model: Name or folder of a model; None: the default one.
            device: auto, cpu, cuda:0 and so on.
            wait: Wait for the results while the application goes on living.
            method: What makes the lesion: "final" or "dram"; None: the final network where it is there.

        Returns:
            Object with heatmapNode, lesionSegmentationNode, lobesSegmentationNode and tableNode; with wait=False the
            run: call its poll() until it is true, then see its results or error.
        """
        run = self.panelLogic.startSegmentation(volumeNode, lobesNode, model, device, method)
        return run.wait() if wait else run

    def train(
        self,
        data: Any,
        recipe: str = "dram",
        name: str | None = None,
        epochs: int | None = None,
        device: str = "auto",
        model: str | None = None,
        wait: bool = True,
    ) -> Any:
        """Train a model in a process of its own; it then is among the models by its name.

        Args:
            data: A data list, or a training folder of accepted cases.
            recipe: dram, final, fine-tune, or a recipe's file.
            name: Of the new model; None: after the recipe.
            epochs: Instead of the recipe's.
            device: auto, cpu, cuda:0 and so on.
            model: The final network to start from (fine-tune), or the dRAM model that labels (final).
            wait: Wait for the model while the application goes on living.

        Returns:
            The model's folder, None if it was stopped at a checkpoint; with wait=False the run: call its poll() until it
            is true, its stop() to stop it at a checkpoint.
        """
        run = self.panelLogic.startTraining(data, recipe, name, epochs, device, model)
        return run.wait() if wait else run

    def resumeTraining(self, name: str | None = None, device: str | None = None, wait: bool = True) -> Any:
        """Go on with a training that was stopped, also in an earlier session; returns what train() does."""
        run = self.panelLogic.resumeTraining(name, device)
        return run.wait() if wait else run

    def discardTraining(self, name: str) -> None:
        """Throw away a training that was stopped."""
        self.panelLogic.discardTraining(name)
