"""The tuned policy against its base, judged by a trained and an untrained scorer."""

import streamlit as st

from dashboard import figures, queries
from dashboard.parts import examples, remarks, slices, verdict, widgets
from dashboard.parts import figure as figure_part
from dashboard.state import data
from dashboard.state.messages import _

selection = widgets.heading(_("DPO vs base"), page="dpo_vs_base", question=_("Whose answers are preferred?"))
if not (selection.base_generator and selection.tuned_generator):
    widgets.live(lambda runs: remarks.unanswered(runs, selection))
    st.stop()
remarks.on_answers(selection)
second = data.second()
found = verdict.found_on("dpo_vs_base", selection)
if selection.slice is None and data.read(queries.win_tie_loss, selection).is_empty():
    widgets.live(lambda runs: remarks.unjudged(runs, selection))
    figure_part.show(figures.find("answer_lengths"), selection, second, level=2)
    st.stop()
with st.grid(min_column_width=900, gap="medium"):
    with st.container():
        figure_part.show(figures.find("win_tie_loss"), selection, second, level=2)
        slices.line(selection)
    if cut := verdict.named(found, "cut_answers"):
        with st.container(border=True, gap="small"):
            verdict.line(cut)
            examples.cut_or_complete(selection, cut)

verdict.section(_("Where does it lose?"), verdict.named(found, "weakest_prompts"))
if lost := verdict.named(found, "lost_prompts"):
    verdict.line(lost)
    examples.to_prompts(_("Read the lost prompts"), preferred="base")
figure_part.side_by_side(("reward_differences", "win_rate_by_group"), selection, second)

verdict.section(_("Do longer answers win?"), verdict.named(found, "gain_length_correlation"))
figure_part.side_by_side(("answer_lengths", "win_rate_by_length"), selection, second)

examples.both_ends(selection, _("Largest gains and losses"))

verdict.section(_("Rewards behind it"))
st.caption(_("Figures 9 and 10. Units differ between reward models."))
behind = ("answers_base_scorer", "answers_trained_scorer", "generators_under_scorers", "scorers_on_generators")
figure_part.side_by_side(behind, selection, second, min_width=400)
for table in [t for t in figures.TABLES if t.page == "dpo_vs_base"]:
    widgets.folded(table, selection)
