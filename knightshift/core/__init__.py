"""What every room shares: quantities, nuclei, errors, arrays, programs, and the files of a run."""
