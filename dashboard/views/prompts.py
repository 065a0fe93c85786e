"""Find prompts, and read both answers to one of them beside each other."""

from dashboard.parts import prompt_list, remarks, slices, widgets
from dashboard.state.messages import _

selection = widgets.heading(_("Prompts"), page="prompts", question=_("What do base and tuned policy answer, prompt by prompt?"))
remarks.on_answers(selection)
slices.line(selection)
asked, rows = prompt_list.filtered(selection)
prompt_list.browse(selection, asked, rows)
