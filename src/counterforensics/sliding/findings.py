"""One question about one photograph: what a detector of one manipulation answers, and when there is no answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from counterforensics import manipulations
from counterforensics.detectors.base import Network
from counterforensics.detectors.calibration import thresholds_of
from counterforensics.intervals import wilson
from counterforensics.manipulations.resize import Resize
from counterforensics.outcome import LEARNED_AUC
from counterforensics.photos.jpeg_quality import JpegQuality
from counterforensics.photos.patches import SIZE
from counterforensics.sliding.scan import Scan, Subject

MANIPULATED, PRISTINE, NO_ANSWER = "manipulated", "pristine", "no answer"
ANY = "any"  # in place of a manipulation, for a detector that does not say which one it looks for

# A photograph is called manipulated where more than this share of its patches is flagged. A detector's threshold flags
# about 1 % of pristine patches on average. Patches of one photograph fail together, so the limit is far above that.
MOST_FLAGGED = 0.5
# Of a photograph that is not manipulated as a whole: a larger share says that a part of it may be [ours].
MOST_OF_A_WHOLE = 0.1


@dataclass(frozen=True)
class FalseAlarms:
    """How many whole pristine photographs of unseen cameras a detector called manipulated."""

    photographs: int
    flagged: int

    @property
    def rate(self) -> float:
        """0..1."""
        return self.flagged / self.photographs

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Wilson's, 0..1."""
        return wilson(self.rate, self.photographs)


@dataclass(frozen=True)
class Finding:
    """What a detector says of one photograph.

    manipulation: the one that the detector looks for, or ANY.  patches: judged, without those that are flat.  flagged:
    the share (0..1) of them above `threshold`; None without an answer.  verdict: MANIPULATED, PRISTINE or NO_ANSWER.
    why: one sentence.  false_alarms: of the verdict, as measured on whole pristine photographs; None where nobody
    measured.  scan: all logits, which `print` leaves out; None where nothing was judged.
    """

    manipulation: str
    detector: str
    patches: int
    flagged: float | None
    threshold: float
    verdict: str
    why: str
    false_alarms: FalseAlarms | None = None
    scan: Scan | None = field(default=None, repr=False)


def stored_threshold(network: Network) -> float:
    """The threshold for 1 % false alarms that the detector holds from its held-out photographs; 0 without one."""
    return thresholds_of(network.facts).get("fpr_01", 0.0)


def threshold_of(network: Network) -> float:
    """The logit above which a patch of a photograph is flagged: the stored threshold, but at least 0 [ours].

    A detector that separates its held-out photographs well stores a threshold below 0. Its cameras may be those of
    training, and on others the lower threshold raises alarms that 0 does not: SPAM + SVM, trained on 38 of the 53
    devices of studies/zoo.yaml and judged on the 15 others, flagged 9 % of pristine patches for blur 1.1 and 10 % for
    median 7x7 at the stored threshold, 0.0 and 0.1 % at 0, and 100 % of the manipulated ones at both.
    """
    return max(0.0, stored_threshold(network))


def question_of(
    subject: Subject,
    network: Network,
    *,
    detector: str,
    quality: JpegQuality | None = None,
    resized: bool = False,
    stride: int | None = None,
    false_alarms: FalseAlarms | None = None,
) -> Finding:
    """Ask a detector whether a photograph was manipulated as it looks for.

    detector: its name, for the reader.  quality: of the photograph's own JPEG file, None for another file.
    resized: whether the metadata of the file say that it was resized before.
    stride: as `scan` has it.  A photograph without an answer gets a finding that says why.
    """
    manipulation, threshold = network.trained_for or ANY, threshold_of(network)

    def without(why: str, patches: int = 0, found: Scan | None = None) -> Finding:
        return Finding(manipulation, detector, patches, None, threshold, NO_ANSWER, why, scan=found)

    reason = why_no_answer(subject, network, quality, resized=resized)
    if reason:
        return without(reason)
    found = subject.scan(network, stride=stride)
    if not found.patches:
        return without("every patch is flat: there is no noise to judge by", found=found)
    share = found.flagged(threshold)
    verdict = MANIPULATED if share > MOST_FLAGGED else PRISTINE
    counts = f"above {MOST_FLAGGED:.0%}, the photograph counts as manipulated"
    why = f"{share:.1%} of {found.patches} patches are flagged; {counts}"
    if MOST_OF_A_WHOLE < share <= MOST_FLAGGED:
        why += ". A part of the photograph may be manipulated: look at the map"
    return Finding(manipulation, detector, found.patches, share, threshold, verdict, why, false_alarms, found)


def why_no_answer(
    subject: Subject, network: Network, quality: JpegQuality | None, *, resized: bool = False
) -> str | None:
    """Why the detector has no answer for this photograph, one sentence; None if it has one."""
    height, width = subject.photo.shape[:2]
    if min(height, width) < SIZE:
        return f"the photograph is {width}x{height}, smaller than a patch of {SIZE}x{SIZE}"
    area = network.facts.get("validation_auc")
    if isinstance(area, float) and area < LEARNED_AUC:
        return f"the detector has not learned: its AUC on held-out photographs is {area:.2f}, below {LEARNED_AUC:g}"
    asked = manipulations.parse(network.trained_for) if network.trained_for else None
    if asked is not None and quality is not None and asked.is_shown_by_jpeg(quality.quality):
        return (
            f"the file itself is a JPEG of quality {quality.quality:g}, at or below {asked.shown_by_jpeg_up_to}: "
            "it shows the same traces without any manipulation"
        )
    if isinstance(asked, Resize) and resized:
        return "its metadata record another size, so it was resized before and shows such traces in any case"
    return None
