"""The examples of Multi Job's manual, sections 2.1–2.3 and 5.1–5.12, as printed; slips of syntax and names are mended.

Each script is one that a reader would type, with the address the manual uses.
"""

import contextlib
import io
from typing import Any, NamedTuple

ADDRESS = "http://127.0.0.1:5006"

# ------------------------------------------------------------------------------------------------- 2.1: a simple job

NEW_JOB_MAIN = """\
# coding=utf-8

# 测试任务, 输入 x, y, label 返回一个组合的字符串
import random
import time

# work是远端运行的主方法, multi_job 会将该文件夹下的程序分发到其他Client, 并进行参数传递和结果回传

def work(x, y, label='new_job'):
    z = x + y
    time_0 = time.time()
    result = "sum result:%s, label: %s, unix_time: %s " % (z, label, time_0)
    # work 的返回结果必须是 json, 字段为 result, count, return_result, 要求如下:
    # result 必填字段,该结果将会入库展示;
    # count 选填字段, 默认为1, 用来进行性能统计分析
    # return_result 选填字段, 默认为None, 不等 None 的话, 则传给 return_main.py 的work方法
    return {"result": result, "count":1, "return_result": None}


if __name__ == "__main__":
    data = work(x=1, y=2, label='new_job')
    print(data)
"""

REGISTER_NEW_JOB = """\
from MultiJob import MultiJob
client = MultiJob(base_ur="http://127.0.0.1:5006")
# 注册任务
result = client.update_job_file_status(job_type="new_job")
"""

INSERT_NEW_JOB = """\
from MultiJob import MultiJob
# base_url 即是 server 的地址
client = MultiJob(base_url="http://127.0.0.1:5006")
# 注册任务
job_id = client.insert_job(job_type="new_job", x=1, y=2, label="multi_job")
# 查看任务状态
result = client.get_job_detail(job_id)
print(result)
"""

# ------------------------------------------------------------------------------------------------ 2.2: a complex job

GET_STOCK_DATA = """\
# coding=utf-8
import requests
import random
import time
# 爬取一条数据, 并返回给数据库

def get_stock_data(id, scale, data_len):
    symsol = '股票代码'
    scale = scale
    data_len = data_len
    url = 'http://quotes.sina.cn/cn/api/json_v2.php/CN_MarketDataService.getKLineData'
    res = requests.get(url, params={"symbol":id, "scale":scale, "datalen":data_len})
    data = res.json()
    bar_list = []
    data.reverse()
    for tmp_dict in data:
        bar = {}
        bar['date'] = tmp_dict['day']
        bar['open'] = float(tmp_dict['open'])
        bar['high'] = float(tmp_dict['high'])
        bar['low'] = float(tmp_dict['low'])
        bar['close'] = float(tmp_dict['close'])
        bar['volume'] = int(tmp_dict['volume'])
        bar_list.append(bar)
    return bar_list

if __name__ == "__main__":
    result = get_stock_data('sz000829', 30, 1)
    print(result)
"""
QUOTES_ADDRESS = "http://quotes.sina.cn/cn/api/json_v2.php/CN_MarketDataService.getKLineData"

SAVE_STOCK_DATA_MAIN = """\
# coding=utf-8
# 任务的主运行代码
import requests
from get_stock_data import get_stock_data
def work(stock_id, time_sep, time_length):
    result = get_stock_data(stock_id, time_sep, time_length)
    count = len(result)
    result = {stock_id:result}
    return {'result':result, 'count':count, 'return_data':result}

if __name__ == "__main__":
    print(work('sz000829', 30, 1))
"""

SAVE_STOCK_DATA_RETURN_MAIN = """\
# coding=utf-8
# 将爬取的股票结果 保存到本地
# 任务的回调代码,  在 server 端执行, 不会分发到 client 端
# work 中返回的 return_data 的数据 将会传入到这个方法中
# 强烈建议！不要向 return_main 添加复杂功能,  否则会对server性能产生巨大影响
import requests
import os
import json
dir = "" # 注意改成你自己的本机路径
def work(return_data):
    save_dir = open(dir).read().strip()
    for stock_id in return_data:
        tmp_dir = os.path.join(save_dir, stock_id)
        with open(tmp_dir, 'w') as w:
            w.write(json.dumps(return_data[stock_id], indent=2))

if __name__ == "__main__":
    return_data = {'sz000829': [{'date': '2021-06-21 15:00:00', 'open': 7.01, 'high': 7.03, 'low': 6.99}]}
    work(return_data)
"""

REGISTER_SAVE_STOCK_DATA = REGISTER_NEW_JOB.replace("new_job", "save_stock_data")

INSERT_SAVE_STOCK_DATA = """\
from MultiJob import MultiJob
# base_url 即是 server 的地址
client = MultiJob(base_url="http://127.0.0.1:5006")
# 注册任务
job_id = client.insert_job(job_type="save_stock_data", stock_id='sz000829', time_sep=30, time_length=1)
# 查看任务状态
result = client.get_job_detail(job_id)
print(result)
"""

# ---------------------------------------------------------------------------------------------- 2.3: from elsewhere

REGISTER_FROM_ELSEWHERE = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 注册任务
result = client.update_job_file_status(job_type="new_job", job_path="/Path/new_job")
"""

# ------------------------------------------------------------------------------------------------------- 5.1 to 5.6

INSERT_TEST_JOB = """\
from MultiJob import MultiJob
# base_url 即是 server的地址
client = MultiJob(base_url="http://127.0.0.1:5006")
# 注册任务
job_id = client.insert_job("test_job", 1, 2, data=3)
# 查看结果
result = client.get_job_detail(job_id)
print(result)
"""

SET_BATCH = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 设置 batch 为 test
client.set_batch("test")
"""

SET_TAG = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 设置 tag 为 test, 决定了哪些机器可以跑该任务. 只有 machine 的 tag 包含 test 的机器才可以接受该任务.
client.set_tag("test")
"""

SET_PRIORITY = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
client.set_priority(66)
"""

SET_LIMIT_COUNT = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
client.set_limit_count(2)
"""

GET_JOB_DETAIL = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 查看结果
job_id = 1
result = client.get_job_detail(job_id)
print(result)
"""

#: What 5.6 says that a job's answer holds.
DETAIL_FIELDS = frozenset(
    {
        "id", "job_type", "status", "input_data", "result", "machine_id", "limit_count", "priority",
        "return_count", "spend_time", "tag", "version", "create_time", "update_time",
    }
)  # fmt: skip

# --------------------------------------------------------------------------------------------------- 5.7: debugging

LOAD_BY_TYPE = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 加载任务
client.load_job_file(job_type="test_job")
# client.main 即是运行 main的work方法
# 查看结果
result = client.main(1, 2, 3)
# 如果有 return_main 可以运行 return_main
result_0 = client.return_main(result)
"""

LOAD_BY_PATH = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# jobs/test_job 就是你的任务所在的文件地址
job_path = "jobs/test_job"
client.load_job_file(job_path=job_path)
# 查看结果
result = client.main(1, 2, 3)
# 如果有 return_main 可以运行 return_main
result_0 = client.return_main(result)
"""

# ------------------------------------------------------------------------------------------------------ 5.8 to 5.12

GET_JOB_SUMMARY = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
#
result = client.get_job_summary(job_type="test_job", batch=-1)
# 查看结果
print(result)
"""

SUMMARY_FIELDS = frozenset(
    {
        "job_type", "batch", "finished_task", "waiting_task", "working_task", "failed_task", "count",
        "spend_time", "begin_time", "update_time", "tag",
    }
)  # fmt: skip

RERUN_JOB = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 查看结果
job_id = 1
result = client.rerun_job(job_id=job_id)
print(result)
"""

COPY_JOB = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 查看结果
job_id = 1
result = client.copy_job(job_id=job_id)
print(result)
"""

STOP_JOB = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 查看结果
job_id = 1
result = client.stop_job(job_id)
print(result)
"""

DELETE_JOB = """\
from MultiJob import MultiJob
client = MultiJob(base_url="http://127.0.0.1:5006")
# 查看结果
job_id = 1
result = client.delete_job(job_id)
print(result)
"""


class Typed(NamedTuple):
    """What a script left behind: its names, and what it printed."""

    names: dict[str, Any]
    printed: str


def typed(script: str, address: str, *, job_id: int | None = None) -> Typed:
    """Run a script against the server at this address, for this job instead of the manual's 1."""
    text = script.replace(ADDRESS, address)
    if job_id is not None:
        text = text.replace("job_id = 1\n", f"job_id = {job_id}\n")
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(text, "manual", "exec"), names)  # noqa: S102 - our own text
    return Typed(names, out.getvalue())
