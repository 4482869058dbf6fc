"""Health check of one container: what Airflow's API says of the component. Standard library only; takes 0.1 s."""

import json
import sys
import urllib.request

component = sys.argv[1]
address = sys.argv[2] if len(sys.argv) > 2 else "http://api-server:8080"
with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=5) as answer:
    status = json.load(answer)[component]["status"]
sys.exit(0 if status == "healthy" else 1)
