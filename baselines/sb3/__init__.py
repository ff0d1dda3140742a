"""Policies trained with Stable-Baselines3 on ``MemAlphaNumeric-v0``; they play ``MemAlpha-v0`` too.

Nothing here loads the library before it is used: settings (:mod:`.settings`, :mod:`.algorithms`),
the agents (:mod:`.agent`) and the folder of a run (:mod:`.folder`) are light; :mod:`.training` and
:mod:`.course` are loaded to train.
"""

from memgym.baselines.sb3.agent import TRAINED, TrainedAgent, trained_folder
from memgym.baselines.sb3.algorithms import ALGORITHMS, Algorithm, get_algorithm
from memgym.baselines.sb3.folder import TrainingFolder, find_trained
from memgym.baselines.sb3.settings import TrainingSettings

__all__ = [
    "ALGORITHMS",
    "TRAINED",
    "Algorithm",
    "TrainedAgent",
    "TrainingFolder",
    "TrainingSettings",
    "find_trained",
    "get_algorithm",
    "trained_folder",
]
