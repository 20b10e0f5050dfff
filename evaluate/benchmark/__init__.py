"""Systems scored on data sets: runs, oracles, the mixture, anyone's estimates."""
