"""How each detector does on each test device, from the logits that a finished plan left in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from counterforensics.errors import printable
from counterforensics.evaluation.rates import verdict_rates
from counterforensics.outcome import DEVICE_COLUMNS
from counterforensics.photos.patches import Indices
from counterforensics.seeds import seed_for
from counterforensics.study.plan import Measurement, Plan
from counterforensics.study.settings import Study
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.files import LOGITS

_NAMED = ("seed", "manipulation", "detector", "target", "attack")


def devices(study: Study, plan: Plan, store: Store) -> pd.DataFrame:
    """One line for each measurement on each test device, where its logits exist.

    Photographs are as the first platform of the study leaves them.  An interval comes from the photographs of the
    device, resampled as for a row (`evaluation.rates`).
    """
    measured = [one for one in plan.measurements if one.laundering == study.launderings[0]]
    found = list(_Verdicts(plan, store, measured).lines())
    records = [record for _, record in sorted(found, key=lambda line: line[0])]  # by measurement, then by device
    return pd.DataFrame.from_records(records, columns=list(DEVICE_COLUMNS))


@dataclass(frozen=True)
class _Verdicts:
    """What the judges of several measurements said of each test patch, and from which photograph a patch is."""

    plan: Plan
    store: Store
    measured: list[Measurement]

    def lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The line of each measurement on each device, with the position of the measurement.

        A device comes as a whole: all of its lines use the same draw of its photographs, which takes longest.
        """
        for device, photos in self._photos_of.items():
            for place, measurement in enumerate(self.measured):
                needs = self.plan.tasks[measurement.row].needs
                pristine = self._of(measurement.pristine, needs["patches"], photos)
                positive = self._of(measurement.positive, needs["positive patches"], photos)
                if pristine is not None and positive is not None and len(pristine[0]):
                    yield place, _line(measurement, device, pristine, positive)

    @cached_property
    def _photos_of(self) -> dict[str, list[str]]:
        """The digests of the test photographs of each device, in the order of the plan."""
        found: dict[str, dict[str, None]] = {}
        for measurement in self.measured:
            for key in self.plan.tasks[measurement.row].needs["patches"]:
                photo = self.plan.tasks[key].photo
                if photo is not None:
                    found.setdefault(photo.device, {})[photo.digest] = None
        return {device: list(digests) for device, digests in found.items()}

    def _of(
        self, judged: str, crops: tuple[str, ...], photos: list[str]
    ) -> tuple[npt.NDArray[np.bool_], Indices] | None:
        """Verdicts on the patches of these photographs, and the position of the photograph of each; None if it failed.

        judged: the key of a `judge` task, which judged the patches of `crops`.
        """
        verdicts = self._verdicts(judged)
        if verdicts is None:
            return None
        tasks = [self.plan.tasks[key] for key in crops]
        places = {digest: place for place, digest in enumerate(photos)}
        of_crop = [places.get(task.photo.digest, -1) if task.photo else -1 for task in tasks]
        photo = np.repeat(np.array(of_crop, dtype=np.int64), [task.patches for task in tasks])
        return verdicts[photo >= 0], photo[photo >= 0]

    def _verdicts(self, judged: str) -> npt.NDArray[np.bool_] | None:
        """Whether each patch was called manipulated; read once."""
        if judged not in self._read:
            path = self.store.folder(judged) / LOGITS
            self._read[judged] = np.load(path) > 0 if path.exists() else None
        return self._read[judged]

    @cached_property
    def _read(self) -> dict[str, npt.NDArray[np.bool_] | None]:
        return {}


def _line(
    measurement: Measurement,
    device: str,
    pristine: tuple[npt.NDArray[np.bool_], Indices],
    positive: tuple[npt.NDArray[np.bool_], Indices],
) -> dict[str, Any]:
    """A line of devices.csv, from verdicts and photographs of both classes."""
    seed = seed_for(measurement.seed, "intervals", "device", printable(device))
    found = verdict_rates(pristine[0], positive[0], pristine[1], positive[1], seed=seed)
    return {
        **{name: vars(measurement)[name] for name in _NAMED},
        **{"device": printable(device), "photos": len(np.unique(pristine[1]))},
        **{"fpr": found.fpr, "tpr": found.tpr, "acc": found.acc, **vars(found)},
    }
