"""From one table of results to plots and tables: pure functions of stored facts, without torch."""
