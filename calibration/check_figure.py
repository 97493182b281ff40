"""The picture of a gradient check: what an estimator costs against how wrong it is, and the gradients themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

if TYPE_CHECKING:
    from lpm.calibration.check import Check

PASSED, FAILED, TRUTH = "#1b7f79", "#c8553d", "#333333"
SHADES = ("#4c6a92", "#d9a441", "#8d6b94", "#6b8f71", "#b56576", "#7d8597", "#457b9d", "#a98467")


def figure(check: Check) -> go.Figure:
    """Return bias against CPU time (left), and every coordinate of the loss gradients, truth = 1 (right)."""
    made = make_subplots(
        1, 2, column_widths=[0.55, 0.45], horizontal_spacing=0.12,
        subplot_titles=("How wrong, at what cost", "Gradient of the loss, in lengths of the truth"),
    )  # fmt: skip
    rows = [row for row in check.rows if not row.refused]
    for row in rows:
        error = {"type": "data", "array": [row.bias_se], "thickness": 1}
        marker = {
            "size": 13,
            "color": PASSED if row.passed else FAILED,
            "symbol": "diamond" if row.marked else "circle",
        }
        made.add_trace(
            go.Scatter(
                x=[max(row.seconds / max(row.replicates, 1), 1e-4)], y=[max(row.bias, 1e-4)], error_y=error,
                mode="markers+text", text=[row.name], textposition="top center", marker=marker, showlegend=False,
                hovertemplate=f"{row.name}<br>cosine {row.cosine:.4f}<br>norm ratio {row.ratio:.3f}<br>"
                f"noise of one replicate {row.noise:.2f}<br>{row.verdict}<extra></extra>",
            ),
            1, 1,
        )  # fmt: skip
    made.add_hline(y=0.1, line_dash="dot", line_color=TRUTH, row=1, col=1, annotation_text="10 %")  # type: ignore[arg-type]
    made.update_xaxes(type="log", title="CPU seconds a replicate", row=1, col=1)
    made.update_yaxes(type="log", title="relative bias of the loss gradient", tickformat=".1%", row=1, col=1)
    length = float(np.linalg.norm(check.truth))
    names = list(check.names)
    made.add_trace(go.Bar(x=names, y=check.truth / length, name="truth", marker_color=TRUTH), 1, 2)
    for shade, row in enumerate(rows):
        values = check.gradients[row.name] / length
        made.add_trace(go.Bar(x=names, y=values, name=row.name, marker_color=SHADES[shade % len(SHADES)]), 1, 2)
    made.update_layout(
        template="plotly_white", height=460, width=1120, bargap=0.25, margin={"t": 60, "l": 70, "r": 20, "b": 60},
        title=f"Gradient check against common random numbers ({check.truth_seeds} seeds, ± {check.truth_se:.1%})",
    )  # fmt: skip
    return made
