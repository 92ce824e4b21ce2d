"""The parts of a policy document and what they mean: `document` its form, `zones` and `hours` the calendar, `conditions` what only a gateway can judge, `check`
what contradicts itself. Pure, so that a gateway that saves a policy and a dispatcher that obeys it can't disagree."""
