"""The only code that imports Airflow: schedules and thin tasks. No SQL and no rules live here."""
