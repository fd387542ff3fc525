"""WHAT PEOPLE LOOK AT: the code that draws state diagrams, and the drawings."""
