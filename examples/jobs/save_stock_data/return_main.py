# coding=utf-8
"""Runs on the server, never on a machine: writes what main.py returned, one file a stock.

The current directory is a lasting folder of this job type (HOME/returns/save_stock_data). The same return_data may come
twice, so write beside and rename: the second time changes nothing. Keep it light; it shares the server's processors.
"""

import json
import os

FOLDER = "stocks"


def work(return_data):
    os.makedirs(FOLDER, exist_ok=True)
    for stock_id, bars in return_data.items():
        path = os.path.join(FOLDER, os.path.basename(stock_id) + ".json")
        with open(path + ".part", "w") as file:
            json.dump(bars, file, indent=2)
        os.replace(path + ".part", path)


if __name__ == "__main__":
    bar = {"date": "2021-06-21 15:00:00", "open": 7.01, "high": 7.03, "low": 6.99, "close": 7.02, "volume": 2421500}
    work({"sz000829": [bar]})
