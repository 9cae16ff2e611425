"""Results for people and their tools: files to read in Python, R, MATLAB or a spreadsheet."""
