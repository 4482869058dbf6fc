"""Trying the linkage on people who do not exist: a country with twins and kin, records with typed errors, the truth.

``train`` counts a model's weights, ``evaluate`` tells what each way of matching finds and which links were wrong.
"""

from p06.calibration.evaluation import evaluate
from p06.calibration.training import train

__all__ = ["evaluate", "train"]
