"""What weights take, what is said when they do not fit, and what types and devices there are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from threadmill.errors import OutOfMemory
from threadmill.nodes.models.placement import loaded_bytes, memory_advice, room_for, saved_bytes

GIB = 2**30


def test_what_weights_take_is_read_from_the_headers_of_their_files(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(10, 10), "b": torch.zeros(5, dtype=torch.int8)}, tmp_path / "1.safetensors")
    save_file({"c": torch.zeros(3, dtype=torch.bfloat16)}, tmp_path / "2.safetensors", {"format": "pt"})
    saved = saved_bytes(tmp_path)
    assert saved == {"F32": 400, "I8": 5, "BF16": 6}
    assert loaded_bytes(saved, None) == 411
    assert loaded_bytes(saved, torch.float32) == 400 + 5 + 12
    assert loaded_bytes(saved, torch.bfloat16) == 200 + 5 + 6


@pytest.mark.parametrize(
    ("needed", "free", "dtype", "advice"),
    [
        (16 * GIB, 9 * GIB, "float32", "in bfloat16 it takes 8.0 GiB, which fits"),
        (32 * GIB, 9 * GIB, "float32", "even in bfloat16 it takes 16.0 GiB; drop a version that is no longer needed"),
        (16 * GIB, 9 * GIB, "bfloat16", "drop a version that is no longer needed, or take a smaller model or one"),
        (8 * GIB, 9 * GIB, "bfloat16", "it is in too many pieces, or something else grows at this moment: drop"),
    ],
)
def test_advice_says_what_was_asked_for_what_is_free_and_what_would_fit(
    needed: int, free: int, dtype: str, advice: str
) -> None:
    said = memory_advice(needed, free, dtype)
    assert said.startswith(f"{needed / GIB:.1f} GiB were asked for in {dtype} but 9.0 GiB are free; {advice}")


def test_small_sizes_are_told_in_mebibytes() -> None:
    assert memory_advice(300 * 2**20, 2**20, "float16").startswith(
        "300.0 MiB were asked for in float16 but 1.0 MiB are"
    )


def test_torchs_error_becomes_one_that_says_what_would_fit() -> None:
    told = "CUDA out of memory. GPU 0 has a total capacity of 8.00 GiB of which 5.00 GiB is free."
    with pytest.raises(OutOfMemory) as caught, room_for("the model 'big'", 8 * GIB, "float32", torch.device("cpu")):
        raise torch.OutOfMemoryError(told)
    assert str(caught.value) == (
        "the model 'big' does not fit on cpu: 8.0 GiB were asked for in float32 but 5.0 GiB are free; "
        "in bfloat16 it takes 4.0 GiB, which fits"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_weights_that_cannot_fit_are_refused_before_they_are_read(tiny_folder: Path) -> None:
    done: list[Any] = []
    with (
        pytest.raises(OutOfMemory, match="does not fit on cuda"),
        room_for("the model 'big'", 2**50, "float32", torch.device("cuda")),
    ):
        done.append("read")
    assert done == []
