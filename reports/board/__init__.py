"""The public leaderboard: what a submission must show, the folder of records, and the static site."""
