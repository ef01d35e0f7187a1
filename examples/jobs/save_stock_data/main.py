# coding=utf-8
"""Runs on a machine: fetches the bars of one stock, and hands them to return_main.py."""

from get_stock_data import get_stock_data


def work(stock_id, time_sep, time_length):
    bars = get_stock_data(stock_id, time_sep, time_length)
    found = {stock_id: bars}
    return {"result": found, "count": len(bars), "return_data": found}


if __name__ == "__main__":
    print(work("sz000829", 30, 1))
