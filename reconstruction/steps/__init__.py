"""Steps of a reconstruction: small pure functions of arrays, composed by a recipe."""
