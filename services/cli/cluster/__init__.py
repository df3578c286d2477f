"""What only a cluster runs: the Job that makes its passwords."""
