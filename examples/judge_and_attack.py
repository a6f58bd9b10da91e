"""Judge a photograph with a shipped detector, hide the traces of a median filter, and judge it again.

    python examples/judge_and_attack.py [PHOTO]

Without a path, the photograph comes from a simulated camera.
"""

from __future__ import annotations

import sys

import counterforensics
from counterforensics.photos.simulated import simulated_photos

DETECTOR = "spam-svm/median:7"


def main() -> None:
    if len(sys.argv) > 1:
        photo = counterforensics.read_photo(sys.argv[1])
    else:
        photo = simulated_photos(devices=1, photos=1, width=512, height=384)[0].read()  # uint8 [h, w, 3]

    filtered = counterforensics.manipulations.parse("median:7")(photo)
    for state, pixels in (("pristine", photo), ("filtered", filtered)):
        (finding,) = counterforensics.detect(pixels, detectors=[DETECTOR]).findings
        print(f"{state}: {finding.verdict} ({finding.why})")

    attacked = counterforensics.attack_photo(filtered, detector=DETECTOR, attack="spam-descent")
    (finding,) = counterforensics.detect(attacked.concealed.photo, detectors=[DETECTOR]).findings
    print(f"concealed: {finding.verdict} ({finding.why})")
    print(f"PSNR of the change: {counterforensics.psnr(filtered, attacked.concealed.photo):.1f} dB")
    for name, share in attacked.after.items():
        print(f"{name} flags {attacked.before[name]:.0%} of the patches before the attack, {share:.0%} after it")


if __name__ == "__main__":
    main()
