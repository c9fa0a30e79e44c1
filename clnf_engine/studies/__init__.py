"""Studies: many faces, fitted in many ways, on all cores or a cluster; rows that lead back to any single fit."""
