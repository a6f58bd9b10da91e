"""The paper's tables, as printed."""

from __future__ import annotations

from collections import Counter

import pytest

from counterforensics.report.claims import as_claimed, find_claim, load_claims, table_number


def test_every_cell_of_the_five_tables_is_there() -> None:
    assert Counter(claim.table for claim in load_claims()) == {
        "I": 32,
        "II": 32,
        "III": 32,
        "IV": 32,
        "V": 16,
    }
    keys = [(c.manipulation, c.detector, c.target, c.attack) for c in load_claims()]
    assert len(keys) == len(set(keys))
    assert all(0 <= claim.tpr <= 1 for claim in load_claims())


def test_accuracy_follows_from_the_rates_in_all_cells_but_the_erratum() -> None:
    wrong = []
    for claim in load_claims():
        if claim.table == "I":
            assert claim.fpr is not None
            assert claim.acc is not None
            if abs(claim.acc - (claim.tpr + 1 - claim.fpr) / 2) > 0.00006:
                wrong.append(claim)
    (erratum,) = wrong
    assert (erratum.manipulation, erratum.detector) == ("jpeg:90", "bayar2016")
    assert (erratum.fpr, erratum.tpr, erratum.acc) == pytest.approx((0.0072, 0.9017, 0.7972))


def test_only_the_erratum_carries_a_note() -> None:
    assert [(c.manipulation, c.detector) for c in load_claims() if c.note] == [("jpeg:90", "bayar2016")]


@pytest.mark.parametrize(
    ("cell", "tpr"),
    [
        (("median:7", "spam-svm", "bayar2016", "fgsm"), 0.9916),
        (("blur:1.1", "cozzolino2017", "cozzolino2017", "fgsm"), 0.3219),
        (("jpeg:90", "xception", "xception", "fgsm:loss=cross-entropy"), 0.1798),
        (("median:3", "bayar2016", "", "gan-vgg"), 0.0074),
        (("resize:1.01", "xception", "", ""), 0.9822),
    ],
)
def test_cells_read_from_the_paper(cell: tuple[str, str, str, str], tpr: float) -> None:
    claim = find_claim(*cell)
    assert claim is not None
    assert claim.tpr == pytest.approx(tpr)


@pytest.mark.parametrize(
    ("attack", "same"),
    [
        ("fgsm", True),
        ("fgsm:epsilon=1", True),
        ("fgsm:1", True),
        ("fgsm:loss=cross-entropy", True),
        ("fgsm:epsilon=2", False),
        ("fgsm:loss=logit", True),
        ("fgsm:epsilon=many", False),
        ("pgd", False),
    ],
)
def test_fgsm_is_the_papers_at_epsilon_1_by_either_loss(attack: str, same: bool) -> None:
    assert (as_claimed(attack) == "fgsm") is same
    assert (table_number("bayar2016", attack) == "II") is same


def test_a_detector_with_settings_has_no_claim() -> None:
    assert find_claim("jpeg:70", "cozzolino2017:steps=0") is None
    assert table_number("cozzolino2017:steps=0", "fgsm") is None


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ("size=small,lr=0.001,beta1=0.5", True),
        ("rate=0.001,momentum=0.5", True),
        ("seed=1", True),
        ("noisy=true", False),
    ],
)
def test_a_generator_is_the_papers_however_long_it_learned(settings: str, same: bool) -> None:
    assert (as_claimed(f"gan-kim:{settings}") == "gan-kim") is same
