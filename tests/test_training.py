"""Training: what it keeps, how it goes on when it is killed, and what it does when memory or numbers fail."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from counterforensics import outcome
from counterforensics.detectors import parse, training
from counterforensics.detectors.base import Network
from counterforensics.detectors.deep import DeepNetwork, DeepRecipe
from counterforensics.detectors.training import DetectorTraining, TrainingSchedule, fit
from counterforensics.errors import TrainingError
from counterforensics.learning import accelerator, loop
from counterforensics.learning.batches import Batch, central, draw, prefetched
from counterforensics.learning.checkpoint import FILE
from counterforensics.learning.layers import ConstrainedConv2d, GhostBatchNorm2d, SeededDropout
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import luma, to_pixels
from counterforensics.ranking import auc
from tests.toys import median_pairs

Points = list[Mapping[str, float]]


class TinyNetwork(DeepNetwork):
    """Every kind of layer that the deep detectors have, small."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.constrained = ConstrainedConv2d(2)
        self.body = nn.Sequential(
            *(nn.Conv2d(2, 4, 3, stride=2), GhostBatchNorm2d(4), nn.Tanh()),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), SeededDropout(0.2)),
        )
        self.last = nn.Linear(64, outputs)

    def features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.body(self.constrained(luma(pixels)))
        return features

    def initialise(self, generator: torch.Generator) -> None:
        for tensor in self.parameters():
            nn.init.normal_(tensor, 0, 0.3, generator=generator)


@dataclass(frozen=True)
class Tiny(DeepRecipe):
    steps: int = 12
    pairs_per_step: int = 16

    name = "tiny"

    def network(self) -> TinyNetwork:
        return TinyNetwork(self.outputs)


def trained(
    recipe: Tiny = Tiny(), *, pairs: Pairs | None = None, monitor: TrainingMonitor = SILENT, seed: int = 3
) -> dict[str, Tensor]:
    return recipe.train(pairs or median_pairs(), seed=seed, monitor=monitor).state_dict()


def turned_round(pairs: Pairs) -> Pairs:
    """The same patches of the photographs in the other order."""
    return Pairs(Patches(pairs.pristine.stacks[::-1]), Patches(pairs.manipulated.stacks[::-1]), pairs.held_out)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], *, within: float = 0.0) -> None:
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=within, atol=within, msg=name)


# --- resuming


class KilledError(Exception):
    """Stands for a kill, at a moment of our choosing."""


@pytest.mark.parametrize("optimiser", ["adamw", "muon", "sgd"])
@settings(deadline=None, max_examples=6)
@given(st.data())
def test_a_training_killed_at_any_steps_ends_with_the_weights_of_one_never_killed(
    optimiser: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kills = data.draw(st.lists(st.integers(1, 11), min_size=1, max_size=3).map(sorted))
    folder = tmp_path_factory.mktemp("partial")
    recipe = Tiny(optimiser=optimiser)
    curve: Points = []
    for kill in kills:
        with pytest.raises(KilledError):
            _train_until(kill, recipe, TrainingMonitor(folder=folder))
    assert_same(trained(recipe, monitor=TrainingMonitor(curve.append, folder=folder)), trained(recipe))
    steps = [point["step"] for point in curve]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == recipe.steps


def _train_until(step: int, recipe: Tiny, monitor: TrainingMonitor) -> None:
    """Train with a checkpoint after every step, and die when `step` begins."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("counterforensics.learning.monitor.SECONDS_BETWEEN_CHECKPOINTS", -1.0)
        original = DetectorTraining.batch

        def batch(self: DetectorTraining, number: int) -> Batch:
            if number >= step:
                raise KilledError
            return original(self, number)

        patch.setattr(DetectorTraining, "batch", batch)
        trained(recipe, monitor=monitor)


SCRIPT = """
    import sys, time
    from pathlib import Path
    from counterforensics.learning import monitor
    from counterforensics.learning.monitor import TrainingMonitor
    from tests.test_training import Tiny
    from tests.toys import median_pairs
    monitor.SECONDS_BETWEEN_CHECKPOINTS = -1.0
    Tiny(steps=4000).train(median_pairs(), seed=3, monitor=TrainingMonitor(folder=Path(sys.argv[1])))
"""


def test_a_killed_process_leaves_a_checkpoint_whole(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(SCRIPT), tmp_path]) as process:
        while process.poll() is None and not (tmp_path / FILE).exists():
            pass
        process.kill()
        assert process.wait() == -signal.SIGKILL
    said: list[str] = []
    recipe = Tiny(steps=4000)
    checkpoint = (tmp_path / FILE).read_bytes()
    with pytest.raises(KilledError):
        _train_until(0, recipe, TrainingMonitor(say=said.append, folder=tmp_path))
    assert said[0].startswith("goes on from step ")
    assert (tmp_path / FILE).read_bytes() == checkpoint


@pytest.mark.parametrize("spoil", [lambda content: content[:-9], lambda content: b"", lambda content: b"x" * 99])
def test_a_damaged_checkpoint_begins_anew(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(KilledError):
        _train_until(5, Tiny(), TrainingMonitor(folder=tmp_path))
    path = tmp_path / FILE
    path.write_bytes(spoil(path.read_bytes()))
    assert_same(trained(monitor=TrainingMonitor(folder=tmp_path)), trained())


@pytest.mark.parametrize(
    ("recipe", "pairs", "seed"),
    [(Tiny(), median_pairs(), 4), (Tiny(lr=5e-4), median_pairs(), 3), (Tiny(), turned_round(median_pairs()), 3)],
    ids=["seed", "lr", "patches"],
)
def test_a_checkpoint_of_another_training_is_not_taken_up(
    recipe: Tiny, pairs: Pairs, seed: int, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        _train_until(5, Tiny(), TrainingMonitor(folder=tmp_path))
    own = trained(recipe, pairs=pairs, seed=seed)
    assert_same(trained(recipe, pairs=pairs, seed=seed, monitor=TrainingMonitor(folder=tmp_path)), own)


def test_a_training_killed_in_the_start_that_it_makes_goes_on_there(tmp_path: Path) -> None:
    recipe = Tiny(steps=4, start="shared", start_steps=8)
    with pytest.raises(KilledError):
        _train_until(5, recipe, TrainingMonitor(folder=tmp_path))
    said: list[str] = []
    assert_same(trained(recipe, monitor=TrainingMonitor(say=said.append, folder=tmp_path)), trained(recipe))
    assert "goes on from step 5 of 8" in said


# --- memory and numbers


@pytest.mark.parametrize(("patches", "passes"), [(128, [128, 64, 32]), (96, [96, 32])])
def test_a_batch_too_large_for_memory_passes_in_parts_with_the_same_result(
    patches: int, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PATCHES_PER_PASS", 128)
    recipe = Tiny(pairs_per_step=patches // 2)
    whole = trained(recipe)
    passed: list[int] = []
    original = TinyNetwork.outputs

    def outputs(self: TinyNetwork, pixels: Tensor) -> Tensor:
        if self.training:
            passed.append(len(pixels))
            if len(pixels) > 32 and len(passed) > 5:  # full only after some steps, and after a forward pass
                original(self, pixels)
                raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, pixels)

    monkeypatch.setattr(TinyNetwork, "outputs", outputs)
    said: list[str] = []
    assert_same(trained(recipe, monitor=TrainingMonitor(say=said.append)), whole, within=2e-4)
    assert set(passed) == set(passes)
    assert [text.partition(";")[0] for text in said] == [
        f"out of memory with {size} patches at once" for size in passes[:-1]
    ]


def test_memory_for_not_even_one_group_is_an_error_that_says_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    original = TinyNetwork.outputs

    def outputs(self: TinyNetwork, pixels: Tensor) -> Tensor:
        if self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, pixels)

    monkeypatch.setattr(TinyNetwork, "outputs", outputs)
    with pytest.raises(TrainingError, match="has no memory for 32 patches at once; free some"):
        trained()


def test_a_loss_that_is_not_finite_stops_says_where_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KilledError):
        _train_until(6, Tiny(), TrainingMonitor(folder=tmp_path))
    kept = (tmp_path / FILE).read_bytes()
    original = DetectorTraining.take_step

    def poisoned(self: DetectorTraining, batch: Batch) -> Tensor:
        loss = original(self, batch)
        return loss * float("nan") if self.step == 8 else loss

    monkeypatch.setattr(DetectorTraining, "take_step", poisoned)
    with pytest.raises(TrainingError, match=r"the loss became nan at step 8; .* the checkpoint of step 6 is kept"):
        trained(monitor=TrainingMonitor(folder=tmp_path))
    assert (tmp_path / FILE).read_bytes() == kept


# --- what is kept


def test_the_state_that_validates_best_is_kept() -> None:
    curve: Points = []
    network = Tiny(steps=20, lr=0.5).train(median_pairs(), seed=3, monitor=TrainingMonitor(curve.append))
    best = min(curve, key=lambda point: point["validation_loss"])
    assert network.facts["best_step"] == best["step"]
    again: Points = []
    start = network.select_output(0)
    Tiny(steps=1, lr=1e-30).fine_tune(start, median_pairs(), seed=3, monitor=TrainingMonitor(again.append))
    assert again[0]["validation_loss"] == pytest.approx(best["validation_loss"], rel=1e-6)


def test_training_ends_early_where_nothing_gets_better() -> None:
    curve: Points = []
    recipe = Tiny(steps=400, lr=1e-30, weight_decay=0.0, patience=3)
    network = recipe.train(median_pairs(), seed=3, monitor=TrainingMonitor(curve.append))
    # Without a learning rate only the normalisations move; three validations in a row without a better one end it.
    best = int(network.facts["best_step"])
    assert sum(point["step"] > best for point in curve) == 3
    assert network.facts["steps"] == curve[-1]["step"] < 400
    assert network.facts["ended"] == outcome.EARLY


def test_without_held_out_photographs_the_last_state_is_kept() -> None:
    network = Tiny().train(median_pairs(held_out=0), seed=3)
    assert network.facts["best_step"] == network.facts["steps"] == 12
    assert not any(name.startswith("validation") for name in network.facts)


def test_the_facts_say_what_was_seen_and_how() -> None:
    facts = Tiny().train(median_pairs(), seed=3).facts
    assert facts["patches"] == 12 * 2 * 16
    assert facts["pairs_per_step"] == 16
    assert facts["augmentation"] == "flips and 90-degree turns"
    assert facts["precision"] in ("float32", "bfloat16")
    assert facts["ended"] == outcome.PLANNED
    assert facts.keys() <= set(outcome.TRAINING_COLUMNS)


def test_the_validation_in_the_facts_is_that_of_the_state_that_is_kept() -> None:
    curve: Points = []
    facts = Tiny(steps=20, lr=0.5).train(median_pairs(), seed=3, monitor=TrainingMonitor(curve.append)).facts
    (best,) = (point for point in curve if point["step"] == facts["best_step"])
    assert facts["best_step"] != curve[-1]["step"]
    assert facts["validation_loss"] == best["validation_loss"]
    assert facts["validation_acc"] == best["validation_accuracy"]
    assert facts["validation_auc"] == best["validation_auc"]


def test_the_area_in_the_curve_is_that_of_the_held_out_pairs() -> None:
    curve: Points = []
    pairs = median_pairs()
    network = Tiny(precision="float32").train(pairs, seed=3, monitor=TrainingMonitor(curve.append))
    held_out = pairs.validation()
    with torch.no_grad():
        pristine, manipulated = (
            network.logits(to_pixels(torch.from_numpy(some[np.arange(len(some))]))).numpy()
            for some in (held_out.pristine, held_out.manipulated)
        )
    (kept,) = (point for point in curve if point["step"] == network.facts["best_step"])
    by_hand = np.mean((manipulated[:, None] > pristine) + 0.5 * (manipulated[:, None] == pristine))
    assert kept["validation_auc"] == pytest.approx(by_hand)
    assert kept["validation_auc"] == pytest.approx(auc(pristine, manipulated))


def test_trainings_end_in_the_words_of_the_table_of_trainings() -> None:
    words = (loop.PLANNED, loop.EARLY, loop.COLLAPSED, loop.DIVERGED)
    assert words == (outcome.PLANNED, outcome.EARLY, outcome.COLLAPSED, outcome.DIVERGED)


def test_a_progress_line_says_how_far_training_is_and_how_well_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterforensics.learning.monitor.SECONDS_BETWEEN_REPORTS", -1.0)
    said: list[str] = []
    Tiny().train(median_pairs(), seed=3, monitor=TrainingMonitor(say=said.append))
    assert len(said) == 12
    figures = r"loss \d\.\d{4}, validation loss \d\.\d{4}, validation accuracy [01]\.\d{4}, validation auc [01]\.\d{4}"
    for step, line in enumerate(said, 1):
        assert re.fullmatch(rf"step {step} of 12, {figures}, [\d.]+ patches/s, \d+ min left", line), line


# --- a detector of one's own


def test_a_detector_of_ones_own_trains_in_ten_lines() -> None:
    class Mine(Network):
        def __init__(self) -> None:
            super().__init__()
            maps = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.scores = nn.Sequential(maps, nn.Linear(8, 1), nn.Flatten(0))

        def logits(self, pixels: Tensor) -> Tensor:
            return torch.as_tensor(self.scores(luma(pixels) - avg_pool2d(luma(pixels), 3, 1, 1)))

    network = Mine()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    assert fit(network, median_pairs(), optimiser, schedule=TrainingSchedule(steps=50), seed=0) is network
    unseen = median_pairs(4, 8, held_out=0)
    pristine, median = (torch.from_numpy(some[np.arange(32)]) for some in (unseen.pristine, unseen.manipulated))
    assert (network.logits(to_pixels(median)) > network.logits(to_pixels(pristine))).float().mean() > 0.9
    assert float(network.facts["validation_auc"]) > 0.9


# --- a start that manipulations share


def several() -> Pairs:
    """The pairs of two manipulations: a median filter, and half the brightness."""
    median = median_pairs()
    darker = Patches(tuple(np.asarray(stack) // 2 for stack in median.pristine.stacks))
    return Pairs.together([median, Pairs(median.pristine, darker, median.held_out)])


def test_pairs_together_keep_their_order_and_their_held_out_photographs() -> None:
    median, both = median_pairs(), several()
    assert len(both) == 2 * len(median)
    assert both.outputs == 2
    assert both.output.tolist() == [0] * len(median) + [1] * len(median)
    assert both.held_out == {8, 9, 18, 19}
    assert both.training().output.tolist() == [0] * len(median.training()) + [1] * len(median.training())
    last = np.array([len(both) - 1])
    assert np.array_equal(both.manipulated[last], both.pristine[last] // 2)


def test_a_start_learns_an_output_for_each_manipulation_and_one_can_be_taken_alone() -> None:
    start = Tiny(steps=150, outputs=2, lr=0.02).train(several(), seed=1)
    unseen = median_pairs(4, 8, held_out=0)
    pristine, median = (torch.from_numpy(some[np.arange(32)]).float() for some in (unseen.pristine, unseen.manipulated))
    darker = (pristine / 2).floor()
    for output, manipulated in enumerate((median, darker)):
        alone = start.select_output(output).eval()
        torch.testing.assert_close(alone.logits(pristine), start.outputs(pristine)[:, output])
        assert (alone.logits(manipulated) > alone.logits(pristine)).float().mean() > 0.9
    torch.testing.assert_close(start.logits(median), start.outputs(median).amax(1))


# --- batches and layers


def test_a_batch_holds_both_states_of_a_cell_turned_alike() -> None:
    pairs = median_pairs(held_out=0)
    same = Pairs(pairs.pristine, pairs.pristine)
    batch = draw(same, 40, np.random.default_rng(0), augment=True, crop=32)
    assert batch.patches.shape == (80, 1, 32, 32)
    pristine, manipulated = (batch.patches[batch.signs[:, 0] == sign].flatten(1).tolist() for sign in (-1, 1))
    assert len(pristine) == 40
    assert sorted(pristine) == sorted(manipulated)


def test_a_batch_mixes_its_patches_so_that_no_group_of_them_gives_a_verdict_away() -> None:
    pairs = median_pairs(held_out=0)
    positions = {patch.tobytes(): index for index, patch in enumerate(pairs.pristine[np.arange(len(pairs))])}
    same = Pairs(pairs.pristine, pairs.pristine)
    batch = draw(same, 32, np.random.default_rng(0), augment=False, crop=0)
    drawn = np.array([positions[patch.numpy().tobytes()] for patch in batch.patches])
    assert 4 < (batch.signs[: GhostBatchNorm2d.GROUP] > 0).sum() < GhostBatchNorm2d.GROUP - 4
    assert (np.diff(drawn) == 0).mean() < 0.2  # the two of a pair, side by side
    assert abs(np.corrcoef(drawn, np.arange(64))[0, 1]) < 0.4  # in the order of the photographs


def test_a_batch_shows_a_patch_in_each_of_the_eight_ways_a_square_lies() -> None:
    square = np.arange(9, dtype=np.uint8).reshape(1, 1, 3, 3)
    one = Pairs(Patches((square,)), Patches((square,)))
    batch = draw(one, 200, np.random.default_rng(0), augment=True, crop=0)
    assert len({tuple(patch.flatten().tolist()) for patch in batch.patches}) == 8
    untouched = draw(one, 5, np.random.default_rng(0), augment=False, crop=0)
    assert (untouched.patches == torch.from_numpy(square)).all()


def test_validation_sees_the_middle_of_what_training_crops() -> None:
    patches = np.arange(36, dtype=np.uint8).reshape(1, 1, 6, 6)
    assert central(patches, 2).tolist() == [[[[14, 15], [20, 21]]]]
    assert central(patches, 0) is patches


def test_each_output_weighs_pristine_and_manipulated_alike() -> None:
    batch = draw(several(), 4000, np.random.default_rng(0), augment=False, crop=16)
    pristine, manipulated = (batch.weights[batch.signs[:, 0] == sign].sum(0) for sign in (-1, 1))
    assert torch.equal(batch.weights.sum(1), torch.ones(8000))
    torch.testing.assert_close(pristine, torch.tensor([2000.0, 2000.0]))
    torch.testing.assert_close(manipulated, pristine, rtol=0.05, atol=0)


def test_an_error_in_the_thread_that_draws_is_raised_where_the_batch_is_awaited() -> None:
    def batches() -> Iterator[Batch]:
        yield draw(several(), 1, np.random.default_rng(0), augment=False, crop=0)
        raise OSError("no space")

    ahead = prefetched(batches())
    next(ahead)
    with pytest.raises(OSError, match="no space"):
        next(ahead)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 0.3, 5.0]))
def test_a_projected_filter_predicts_its_centre_from_its_neighbours(seed: int, spread: float) -> None:
    layer = ConstrainedConv2d(12)
    nn.init.normal_(layer.weight, 0, spread, generator=torch.Generator().manual_seed(seed))
    layer.project()
    weights = layer.weight.detach().double()
    assert (weights[:, 0, 2, 2] == -1).all()
    outer = weights.sum((1, 2, 3)) + 1
    assert (outer - 1).abs().max() <= 1e-6 * max(1.0, float(weights.abs().max()))
    before = layer.weight.detach().clone()
    layer.project()
    # The rounding of the sum, which the largest weight decides, is a factor of all weights.
    torch.testing.assert_close(layer.weight, before, rtol=1e-5 + 1e-6 * float(before.abs().max()), atol=1e-6)


def test_a_zero_filter_becomes_the_mean_of_its_neighbours() -> None:
    layer = ConstrainedConv2d(1)
    nn.init.zeros_(layer.weight)
    layer.project()
    outer = layer.weight.flatten()[torch.arange(25) != 12]
    torch.testing.assert_close(outer, torch.full((24,), 1 / 24))


def test_statistics_of_groups_do_not_depend_on_how_many_pass_at_once() -> None:
    maps = torch.randn(48, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    together, apart, plain = GhostBatchNorm2d(3), GhostBatchNorm2d(3), nn.BatchNorm2d(3)
    separately = torch.cat([apart(maps[:32]), apart(maps[32:])])
    torch.testing.assert_close(together(maps), separately)
    torch.testing.assert_close(together.running_var, apart.running_var)
    torch.testing.assert_close(separately[:32], plain(maps[:32]))
    plain.load_state_dict(together.state_dict())
    torch.testing.assert_close(together.eval()(maps), plain.eval()(maps))


def test_dropout_keeps_its_share_and_its_mean() -> None:
    dropout, ones = SeededDropout(0.3), torch.ones(400, 100)
    dropout.generator.manual_seed(1)
    once = dropout(ones)
    assert abs((once == 0).double().mean() - 0.3) < 0.01
    torch.testing.assert_close(once.max(), torch.tensor(1 / 0.7))
    dropout.generator.manual_seed(1)
    assert torch.equal(torch.cat([dropout(ones[:100]), dropout(ones[100:])]), once)
    assert torch.equal(dropout.eval()(ones), ones)


def test_bfloat16_is_used_where_the_hardware_has_it_alone() -> None:
    processor = torch.device("cpu")
    assert accelerator.precision_on(processor, "float32") == "float32"
    with pytest.MonkeyPatch.context() as patch:
        for has in (True, False):
            patch.setattr(accelerator, "is_fast_in_bfloat16", lambda _, has=has: has)
            assert accelerator.precision_on(processor, "bfloat16") == ("bfloat16" if has else "float32")


@pytest.mark.parametrize("text", ["bayar2016:start_filters=random", "mislnet", "xception"])
def test_the_first_filters_see_grey_levels_in_full_precision(text: str) -> None:
    """A filter whose weights sum to 0 is blind to brightness; its sum after rounding to bfloat16 is not 0."""
    recipe = parse(text)
    assert isinstance(recipe, DeepRecipe)
    network = recipe.build()
    recipe.initialise(network, 0)
    seen: list[torch.Tensor] = []
    first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_hook(lambda _, __, maps: seen.append(maps))
    grey = torch.randint(0, 256, (2, 1, 128, 128), generator=torch.Generator().manual_seed(0))
    pixels = to_pixels(grey.to(torch.uint8))
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            network.outputs(pixels)
    assert seen[1].dtype == torch.float32
    assert torch.equal(*seen)


def test_a_training_on_a_gpu_leaves_the_settings_of_torch_as_they_were() -> None:
    def settings() -> tuple[bool, bool, bool]:
        filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        return torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, filled

    before = settings()
    with accelerator.deterministic(torch.device("cuda")):
        assert settings() == (True, False, False)
    assert settings() == before
    assert before != (True, False, False)
