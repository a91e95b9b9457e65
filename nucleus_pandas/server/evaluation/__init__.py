"""What the server computes of runs: the matches of a commit, evaluations and their charts."""
