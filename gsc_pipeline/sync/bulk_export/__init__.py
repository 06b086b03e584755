"""Imports days from Parquet files of Google's bulk data export, as BigQuery's EXPORT DATA writes them."""
