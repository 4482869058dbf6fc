"""p06: the warehouse of Project 06."""
