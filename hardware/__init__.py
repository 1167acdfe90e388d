"""The one door to hardware: the `Scanner` contract and how its backends are found."""
