"""The quick stand-in for the network, in a worker that is killed once, before a file operation of its own."""

from pathlib import Path

import fake_segmenter
from nursery import count_calls


def prepare(options):
    flag = Path(options["dies"])
    if flag.exists():
        last = int(flag.read_text())
        flag.unlink()
        count_calls(options["watch"], last)
    return fake_segmenter.prepare(options)


def segment(source, out, *, dies=None, watch=None, **options):
    fake_segmenter.segment(source, out, **options)
