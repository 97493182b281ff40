"""Real answers: `python tests/benchmarks/opinionqa.py --model FILE.gguf --questions 40` prints how near each row comes.

The data are the answers of US adults by group, Pew American Trends Panel (Santurkar et al., 2023, arXiv:2303.17548), in
`LPM_DATA/opinionqa`. "Refused" and answers without a place on the question's scale ("Not sure") are dropped, and so are
questions with two options at one place. Survey waves go alternately to the half that is fitted and the half that is
scored; what is fitted are offsets of the ordinal position (one set for every number of options), never of a question.

The model is asked for every option, as the person described, whether it is the answer: yes or no, in both orders, the
two averaged in logit space; the distribution is the softmax over a question's options. Answers are kept (`--answers`),
so a second call goes on where the first one was stopped; `--save-table` and `--model-table` write and read a parquet
file with the columns key, attribute, group, position and logit. Prefix reuse is on and the order of asking fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy.special import softmax

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm.archetypes.answers import Answers
from lpm.calibration.archetypes import Calibrated, Observed, calibrate
from lpm.fidelity import conditioning, simbench, total_variation, wasserstein
from lpm.intervals import interval
from lpm.types import HostArray
from tests.benchmarks.opinionqa_questions import EVERYBODY, GROUPS, NOBODY, Group, Item, ask, chosen, halves, read

PEOPLE = 100.0
"""People that every case counts as in the fit: scores weigh cases alike, and questions scatter more than people do."""

CALIBRATED = "calibrated (beta, b, u), offsets from the whole half"

Predicted = dict[tuple[str, Group], HostArray]
"""A distribution [K] by question and group."""


def cases(items: Sequence[Item], logit: Mapping[tuple[str, Group], HostArray]) -> Observed:
    """Return a question and a group as one case; what the model was not asked has logits of 0.

    Slots are positions among so many options; a group's name is "attribute=value".
    """
    widths = sorted({len(item.options) for item in items})
    slots = [(width, position) for width in range(2, max(widths) + 1) for position in range(width)]
    first = {width: slots.index((width, 0)) for width, _ in slots}
    rows = [(number, item, group) for number, item in enumerate(items) for group in GROUPS]
    z, counts = np.zeros((len(rows), max(widths))), np.zeros((len(rows), max(widths)))
    slot = np.full(z.shape, -1)
    for row, (_, item, group) in enumerate(rows):
        width = len(item.options)
        counts[row, :width] = PEOPLE * item.share(group)
        slot[row, :width] = first[width] + np.arange(width)
        z[row, :width] = logit.get((item.key, group), 0.0)
    names = tuple(f"{position + 1} of {width}" for width, position in slots)
    groups = np.asarray([GROUPS.index(group) for _, _, group in rows])
    unit = np.asarray([number for number, _, _ in rows])
    return Observed(z, counts, groups, slot, unit, tuple("=".join(group) for group in GROUPS), names)


def predicted(made: Calibrated, items: Sequence[Item], logit: Mapping[tuple[str, Group], HostArray]) -> Predicted:
    """Return what a fitted correction says of questions."""
    place = {name: number for number, name in enumerate(made.data.slots)}
    found: Predicted = {}
    for item in items:
        width = len(item.options)
        slot = np.asarray([place[f"{position + 1} of {width}"] for position in range(width)])
        for number, group in enumerate(GROUPS):
            z = logit.get((item.key, group), np.zeros(width))
            found[item.key, group] = softmax(made.logits(z[None], np.asarray([number]), slot)[0])
    return found


def centred(logit: Mapping[tuple[str, Group], HostArray], fitted: Sequence[Item]) -> dict[tuple[str, Group], HostArray]:
    """Return logits less their mean over the fitted questions with as many options, position by position.

    Offsets then mean the same for questions that the model was asked and for those it was not.
    """
    widths = {item.key: len(item.options) for item in fitted}
    means: dict[int, HostArray] = {}
    for width in set(widths.values()):
        rows = [z - z.mean() for (key, _), z in logit.items() if widths.get(key) == width]
        means[width] = np.mean(rows, 0) if rows else np.zeros(width)
    return {at: z - z.mean() - means.get(len(z), np.zeros(len(z))) for at, z in logit.items()}


def scored(row: str, items: Sequence[Item], told: Predicted) -> dict[str, Any]:
    """Return the scores of one row over questions and groups, with 95 % intervals over questions."""
    real = [item.share(group) for item in items for group in GROUPS]
    said = [told[item.key, group] for item in items for group in GROUPS]
    units = [item.key for item in items for _ in GROUPS]
    score = simbench(real, said, units)
    apart = interval([
        float(np.mean([wasserstein(item.share(g), told[item.key, g], item.scale) for g in GROUPS])) for item in items
    ])  # fmt: skip
    return {
        "row": row, "simbench": score.mean, "low": score.low, "high": score.high,
        "wasserstein": apart.mean, "w_low": apart.low, "w_high": apart.high, "questions": len(items),
    }  # fmt: skip


def rows(fit: Sequence[Item], score: Sequence[Item]) -> dict[str, Predicted]:
    """Return what needs no model: uniform, offsets of the position (of all, by group), everybody's own answers."""
    both = [*fit, *score]
    plain, none = cases(both, {}), dict[tuple[str, Group], HostArray]()
    mine = plain.chosen(np.arange(len(fit) * len(GROUPS)))
    return {
        "uniform": {(i.key, g): np.full(len(i.options), 1 / len(i.options)) for i in score for g in GROUPS},
        "position only": predicted(calibrate(mine, 0, beta=0), score, none),
        "position only, by group": predicted(calibrate(mine, "held-out", beta=0), score, none),
        "all respondents to the same question (upper reference)": {
            (i.key, g): i.share(EVERYBODY) for i in score for g in GROUPS
        },
    }


def model_rows(fit: Sequence[Item], score: Sequence[Item], table: pl.DataFrame) -> tuple[dict[str, Predicted], str]:
    """Return what the model says of the questions it was asked, before and after calibration, and what was fitted.

    Args:
        fit: All questions of the fitted half.
        score: Questions of the scored half that the model was asked.
        table: The model's answers.
    """
    found: dict[tuple[str, Group], HostArray] = {}
    for (key, attribute, group), part in table.partition_by("key", "attribute", "group", as_dict=True).items():
        found[key, (attribute, group)] = part.sort("position")["logit"].to_numpy().astype(np.float64)
    asked = [item for item in fit if (item.key, EVERYBODY) in found]
    raw = {at: z for at, z in found.items() if at[1] in GROUPS}
    freed = {(key, group): z - found[key, NOBODY] for (key, group), z in raw.items()}
    made: dict[str, Predicted] = {
        "model, not told the group": {
            (i.key, g): softmax(found[i.key, EVERYBODY]) for i in score for g in GROUPS
        },
        "model": {at: softmax(z) for at, z in raw.items()},
        "model, content-free subtracted": {at: softmax(z) for at, z in freed.items()},
    }  # fmt: skip
    notes: list[str] = []
    few, many = [*asked, *score], [*fit, *score]
    fits: tuple[
        tuple[str, Mapping[tuple[str, Group], HostArray], float | Literal["held-out"], list[Item], Any], ...
    ] = (
        ("position only, fitted on what the model was asked", {}, 0, few, asked),
        ("calibrated (beta, b), fitted on what it was asked", raw, 0, few, asked),
        ("calibrated (beta, b), offsets from the whole half", centred(raw, asked), 0, many, fit),
        ("calibrated (beta, b, u), offsets from the whole half", centred(raw, asked), "held-out", many, fit),
        ("same, content-free subtracted", centred(freed, asked), "held-out", many, fit),
    )
    for name, logit, spread, items, known in fits:
        data = cases(items, logit).chosen(np.arange(len(known) * len(GROUPS)))
        fitted = calibrate(data, spread, beta=None if logit else 0.0)
        made[name] = predicted(fitted, score, logit)
        if logit:
            notes.append(f"{name}: beta {fitted.beta:.3f} +- {fitted.error['beta']:.3f}, tau {fitted.spread:.3f}")
    return made, "\n".join(notes)


def show(title: str, table: Sequence[dict[str, Any]]) -> None:
    """Print scores, a line a row."""
    print(f"\n{title}\n{'':58}{'SimBench score':>24}   {'Wasserstein':>22}")
    for each in table:
        one = f"{each['simbench']:7.2f} [{each['low']:7.2f}, {each['high']:6.2f}]"
        two = f"{each['wasserstein']:.4f} [{each['w_low']:.4f}, {each['w_high']:.4f}]"
        print(f"{each['row']:58}{one:>24}   {two:>22}")


def gains(score: Sequence[Item], one: Predicted, other: Predicted) -> pl.DataFrame:
    """Return by how many points of the SimBench score one row is above another, by group."""
    at = [(item, group) for item in score for group in GROUPS]
    return conditioning(
        [item.share(group) for item, group in at], [one[item.key, group] for item, group in at],
        [other[item.key, group] for item, group in at], ["=".join(group) for _, group in at],
        [item.key for item, _ in at],
    )  # fmt: skip


def verdict(score: Sequence[Item], made: Mapping[str, Predicted]) -> str:
    """Return in a sentence for every rival whether the calibrated table is better, on each score; 95 % intervals."""
    told: list[str] = []
    mine, plain = made[CALIBRATED], "position only"
    for rival in ("uniform", "model", plain, "position only, by group"):
        gain = gains(score, mine, made[rival]).row(-1, named=True)
        near = interval([
            float(np.mean([
                wasserstein(i.share(g), made[rival][i.key, g], i.scale)
                - wasserstein(i.share(g), mine[i.key, g], i.scale)
                for g in GROUPS
            ])) for i in score
        ])  # fmt: skip
        one, two = _word(gain["low"], gain["high"]), _word(near.low, near.high)
        told.append(
            f"calibrated against '{rival}': SimBench {one}, {gain['gain']:+.2f} [{gain['low']:+.2f}, "
            f"{gain['high']:+.2f}]; Wasserstein {two}, nearer by {near.mean:+.4f} [{near.low:+.4f}, {near.high:+.4f}]"
        )
        if rival == plain and (one, two) != ("better", "better"):
            told.append("With this model the calibrated table does not beat position only on both scores.")
    return "\n".join(told)


def _word(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else "not distinguishable"


def main() -> None:
    """Print all rows."""
    known = argparse.ArgumentParser(description="How near simulated answers come to those of US adults, by group.")
    known.add_argument("--model", help="a GGUF file; without it and --model-table only rows that need no model")
    known.add_argument("--questions", type=int, default=20, help="asked of the model in each half (default 20)")
    known.add_argument("--seconds", type=float, default=1800.0, help="after which no other question is begun")
    known.add_argument("--seed", type=int, default=1, help="which questions are asked")
    known.add_argument("--answers", default="opinionqa-answers.sqlite", help="where answers are kept")
    known.add_argument("--model-table", help="read what the model says instead of asking")
    known.add_argument("--save-table", help="write what the model says")
    known.add_argument("--json", help="write the rows as JSON")
    given = known.parse_args()
    if "LPM_DATA" not in os.environ:
        sys.exit("opinionqa: expected LPM_DATA, the folder with opinionqa/; the data are not for distribution")
    fit, score = halves(read(Path(os.environ["LPM_DATA"]) / "opinionqa"))
    for name, half in (("fitted", fit), ("scored", score)):
        waves = ", ".join(dict.fromkeys(item.wave for item in half))
        print(f"{name} half: {len(half)} questions of waves {waves}")
    plain = rows(fit, score)
    whole = [scored(row, score, told) for row, told in plain.items()]
    show(f"all {len(score)} questions of the scored half, {len(GROUPS)} groups", whole)
    table = None
    if given.model_table:
        table = pl.read_parquet(given.model_table)
    elif given.model:
        from lpm.archetypes.providers.embedded import Embedded

        pairs = zip(chosen(fit, given.questions, given.seed), chosen(score, given.questions, given.seed), strict=False)
        provider = Embedded(given.model, window=2048)
        with Answers(given.answers) as answers:
            table = ask([item for pair in pairs for item in pair], provider, answers, given.seconds)
        if given.save_table:
            table.write_parquet(given.save_table)
    both = list[dict[str, Any]]()
    if table is not None:
        asked = set(table["key"])
        few = [item for item in score if item.key in asked]
        mine, notes = model_rows(fit, few, table)
        made = {**plain, **mine}
        both = [scored(row, few, told) for row, told in made.items()]
        count = len(asked) - len(few)
        spread, covered = table["order_spread"].mean(), table["coverage"].median()
        show(f"asked of the model: {count} questions of the fitted half, {len(few)} of the scored half (scored)", both)
        print(f"\n{table.height * 2} prompts; order spread {spread:.2f} logits in the mean, coverage {covered:.2f}")
        print(notes)
        moved = {g: np.mean([total_variation(made["model"][i.key, g], made[CALIBRATED][i.key, g]) for i in few])
                 for g in GROUPS}  # fmt: skip
        told = ", ".join(f"{group[1]} {float(far):.3f}" for group, far in moved.items())
        print(f"total variation between the model and the calibrated table: {told}")
        print(f"\n{verdict(few, made)}")
        print("\ntelling the model the group (its score with the group less that without):")
        with pl.Config(tbl_rows=20, tbl_cols=12, float_precision=2, tbl_width_chars=140):
            print(gains(few, made["model"], made["model, not told the group"]))
    if given.json:
        Path(given.json).write_text(
            json.dumps({"scored half": whole, "asked": both}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
