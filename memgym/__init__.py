"""memgym: the Gymnasium home of agent memory.

An agent reads a long text chunk by chunk, edits a structured memory through tool calls, and is
rewarded by how well questions can be answered from that memory alone.

    >>> import gymnasium as gym
    >>> import memgym
    >>> env = gym.make("MemAlpha-v0")
    >>> observation, info = env.reset(seed=0)
    >>> call = {"name": "new_memory_insert",
    ...         "arguments": {"memory_type": "semantic", "content": "Ada keeps bees."}}
    >>> observation, reward, terminated, truncated, info = env.step([call])
    >>> info["tool_results"][0]["message"]
    'inserted s1'

Importing this package registers the environments and loads nothing heavy.
"""

import gymnasium

__all__ = ["__version__"]

__version__ = "0.1.0"

gymnasium.register(id="MemAlpha-v0", entry_point="memgym.envs.mem_alpha:MemAlphaEnv")
gymnasium.register(id="MemAlphaText-v0", entry_point="memgym.envs.text:MemAlphaTextEnv")
gymnasium.register(id="MemAlphaNumeric-v0", entry_point="memgym.envs.numeric:MemAlphaNumericEnv")
