"""The learner: a language model that learns to write its memory by reinforcement (GRPO).

One training step: a group of rollouts per episode (:mod:`.rollouts`), their rewards from the
environment, advantages (:mod:`.advantages`), batches (:mod:`.batches`), the loss (:mod:`.loss`) and
an update (:mod:`.learner`). :mod:`.training` is the whole run, ``memgym train`` its command. Works
with every causal language model of transformers that has a chat template.
"""
