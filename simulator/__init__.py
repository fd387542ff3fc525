"""THE OTHER SIDE: models of provider servers, carriers and the caller's ear."""
