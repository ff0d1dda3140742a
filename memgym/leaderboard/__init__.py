"""A static leaderboard of submissions that were verified here: ranks with ties, pages, pictures."""

from memgym.leaderboard.standings import OVERALL, Contest, Row, Standing, contests

__all__ = ["OVERALL", "Contest", "Row", "Standing", "contests"]
