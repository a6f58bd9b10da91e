"""A study with a detector or an attack more: how one's own part enters a protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from counterforensics import attacks, detectors
from counterforensics.attacks import Attack
from counterforensics.detectors import Recipe
from counterforensics.errors import CounterforensicsError, StudyError, unknown_name
from counterforensics.study.settings import Study


def enter(study: Study, texts: Sequence[str]) -> Study:
    """The study with these detectors and attacks, text forms, under the same rules as its own.

    A new detector becomes a target of every attack of the study that can attack it, and every new attack attacks every
    detector that it can. Raises NameNotFoundError for a name that is neither a detector nor an attack, and StudyError
    for a part that the study has or cannot take.
    """
    new: list[tuple[str, Recipe | Attack]] = [(text, _part(text)) for text in texts]
    settings = study.model_dump(mode="json")
    recipes = [part for _, part in new if isinstance(part, Recipe)]
    known = [one.detector for one in study.detectors]
    settings["detectors"] += [detectors.text_form(recipe) for recipe in recipes]
    for given, one in zip(settings["attacks"], study.attacks, strict=True):
        given["targets"] = [*given["targets"], *_targets(one.attack, recipes)]
    for text, part in new:
        if isinstance(part, Attack):
            targets = _targets(part, [*known, *recipes])
            if part.needs_target and not targets:
                raise StudyError(
                    f"{text} can attack none of the detectors of the study {study.name!r}; enter one that it can, too"
                )
            settings["attacks"].append({"attack": attacks.text_form(part), "targets": targets})
    try:
        return Study.model_validate(settings)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        said = first["msg"].removeprefix("Value error, ")
        raise StudyError(f"{', '.join(texts)} cannot enter the study {study.name!r}: {said}") from error


def _part(text: str) -> Recipe | Attack:
    """The detector or the attack with this text form."""
    name = text.partition(":")[0]
    if name in detectors.DETECTORS:
        return detectors.parse(text)
    if name in attacks.ATTACKS:
        return attacks.parse(text)
    raise unknown_name("detector or attack", text, [*detectors.DETECTORS, *attacks.ATTACKS])


def _targets(attack: Attack, recipes: Iterable[Recipe]) -> list[str]:
    """The text forms of the recipes whose detectors the attack can work against."""
    found = []
    for recipe in recipes if attack.needs_target else ():
        with contextlib.suppress(CounterforensicsError):
            attack.check_target(recipe.build())
            found.append(detectors.text_form(recipe))
    return found
