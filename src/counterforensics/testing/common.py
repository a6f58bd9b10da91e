"""What the contracts of all parts share."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from counterforensics.errors import CounterforensicsError
from counterforensics.names import Part, Registry, check_part


def expect(kept: bool, text: str, broken: str) -> None:
    """Raise AssertionError with `broken`, a sentence about the part that `text` names, unless a contract is kept."""
    if not kept:
        raise AssertionError(f"{text}: {broken}")


@contextlib.contextmanager
def drawn_before(text: str, seed: int) -> Iterator[None]:
    """Set the random generators that all code shares; other tasks of a study draw from them at the same time."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
        kept = torch.initial_seed() == seed
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
    expect(kept, text, "it calls torch.manual_seed, which disturbs other tasks; draw from a torch.Generator of its own")


def same_state(one: nn.Module, other: Mapping[str, Tensor]) -> bool:
    state = one.state_dict()
    return state.keys() == other.keys() and all(torch.equal(state[name], tensor) for name, tensor in other.items())


def copied_state(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def check_contract(text: str, registry: Registry[Any]) -> None:
    """The class is one that a study can name, and its text form leads back to the same settings."""
    part = registry.parse(text)
    try:
        check_part(type(part), registry.contract)
    except CounterforensicsError as error:
        raise AssertionError(f"{text}: {error}") from error
    shortest = registry.text_form(part)
    again = registry.parse(shortest)
    expect(again == part, text, f"its text form {shortest!r} leads to other settings: {again!r}, not {part!r}")
    expect(hash(again) == hash(part), text, "equal settings have different hashes")
    check_facts(text, part)


def check_facts(text: str, part: Part) -> None:
    version = type(part).version
    expect(type(version) is int, text, f"its version must be a whole number, is {version!r}")
    for path in part.files:
        expect(isinstance(path, Path), text, f"`files` must hold paths, holds {path!r}")
        expect(path.is_file(), text, f"it reads {path}, which is no file")


def check_flag(text: str, name: str, value: object) -> None:
    expect(isinstance(value, bool), text, f"{name} must be True or False, is {value!r}")
