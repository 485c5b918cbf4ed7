"""A demonstration on real data: four recorded language models on grade-school mathematics."""
