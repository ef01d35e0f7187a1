# coding=utf-8
"""Price bars of one stock from a quotes service. Needs requests: see ``python:`` in the inventory."""

import os

import requests

# job.yml, or a machine's own environment, may name another service that answers in the same shape.
QUOTES_URL = os.environ.get("QUOTES_URL", "https://quotes.sina.cn/cn/api/json_v2.php/CN_MarketDataService.getKLineData")
TIMEOUT_S = 20


def get_stock_data(stock_id, scale, data_len):
    """The last data_len bars of scale minutes each, newest first."""
    query = {"symbol": stock_id, "scale": scale, "datalen": data_len}
    answer = requests.get(QUOTES_URL, params=query, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return [bar_of(row) for row in reversed(answer.json())]


def bar_of(row):
    """One row of the service, whose numbers are text, with numbers in it."""
    bar = {"date": row["day"], "volume": int(row["volume"])}
    for key in ("open", "high", "low", "close"):
        bar[key] = float(row[key])
    return bar


if __name__ == "__main__":
    print(get_stock_data("sz000829", 30, 1))
