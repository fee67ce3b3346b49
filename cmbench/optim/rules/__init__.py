"""The rules: how a direction is turned into a step, one file each, and the registry of them."""

from cmbench.optim.rules.adam import Adam
from cmbench.optim.rules.base import Rule
from cmbench.optim.rules.rmsprop import RMSprop
from cmbench.optim.rules.sgd import SGD

RULES: dict[str, Rule] = {rule.key: rule for rule in (Adam(), SGD(), RMSprop())}
"""Every rule by its key: what stands here is an optimizer, alone, with each memory and with each probe."""

__all__ = ["RULES", "Rule"]
