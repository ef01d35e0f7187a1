// Every word of the page, in Chinese and English; picked by the browser's languages.
"use strict";

const WORDS = {
  en: {
    not_built: "This is the plain page: the dashboard was not built. To build it, then start mj up again:",
    sign_in: "Sign in", sign_out: "Sign out", token: "Token",
    sign_in_how: "Open the link that mj up printed, or paste the token from the file “token” in the server's home.",
    sign_in_refused: "That was not accepted. A link works once and only for a short time; the token goes on working.",
    sign_in_busy: "Too many tries. Wait a minute, then try again.",
    inventory_problems: "inventory.yml was not applied; the last good one is in force",
    totals: "Totals", total_done: "Succeeded", total_running: "In progress", total_waiting: "Queued", total_failed: "Failed",
    machines: "Machines", no_machines: "No machine yet. Add one to inventory.yml; it is in force within seconds:",
    latest_jobs: "Latest jobs", no_jobs: "No job yet. Submit one:",
    id: "Job", status: "Status", job_type: "Type", batch: "Batch", machine: "Machine", attempt: "Attempt",
    duration: "Duration", created: "Submitted", remark: "Remark",
    waiting: "queued", running: "running", assigned: "assigned", returning: "returning", done: "done", failed: "failed",
    return_failed: "return failed", stopping: "stopping", unreachable: "machine unreachable",
    slots: "slots", cpu: "CPU", memory: "Memory", disk: "Disk", tags: "Tags", no_contact: "no contact yet", contact: "contact",
    live: "live", connecting: "connecting", stale: "stale: last seen", no_answer: "the server does not answer",
    up_for: "up for", second: "s", minute: "min", hour: "h", day: "d", ago: "ago", just_now: "just now",
    state_ready: "ready", state_connecting: "connecting", state_paused: "paused", state_draining: "draining",
    state_closed: "closed", state_unreachable: "unreachable", state_untrusted: "untrusted host key",
    state_refused: "refused us", state_unfit: "cannot run jobs",
  },
  zh: {
    not_built: "这是简易页面: 仪表盘尚未构建. 构建后重新启动 mj up:",
    sign_in: "登录", sign_out: "退出", token: "令牌",
    sign_in_how: "请打开 mj up 打印的链接, 或粘贴服务器主目录中 token 文件里的令牌.",
    sign_in_refused: "未被接受. 链接只能使用一次且很快过期, 令牌可一直使用.",
    sign_in_busy: "尝试次数过多, 请一分钟后再试.",
    inventory_problems: "inventory.yml 有误, 未生效; 仍使用上一份正确的配置",
    totals: "总计", total_done: "成功", total_running: "进行", total_waiting: "排队", total_failed: "失败",
    machines: "机器列表", no_machines: "还没有机器. 写入 inventory.yml, 几秒内生效:",
    latest_jobs: "最新任务", no_jobs: "还没有任务. 提交一个:",
    id: "任务", status: "状态", job_type: "类型", batch: "批次", machine: "机器", attempt: "次数",
    duration: "用时", created: "提交时间", remark: "备注",
    waiting: "排队", running: "运行中", assigned: "已分配", returning: "回传中", done: "成功", failed: "失败",
    return_failed: "回传失败", stopping: "停止中", unreachable: "机器失联",
    slots: "进程", cpu: "CPU", memory: "内存", disk: "磁盘", tags: "标签", no_contact: "尚未联系", contact: "联系",
    live: "实时", connecting: "连接中", stale: "数据已过期: 更新于", no_answer: "服务器无应答",
    up_for: "已运行", second: "秒", minute: "分", hour: "小时", day: "天", ago: "前", just_now: "刚刚",
    state_ready: "就绪", state_connecting: "连接中", state_paused: "已暂停", state_draining: "排空中",
    state_closed: "已停机", state_unreachable: "失联", state_untrusted: "主机密钥未信任",
    state_refused: "被拒绝", state_unfit: "无法运行任务",
  },
};

const LANGUAGE = (navigator.languages || [navigator.language || "en"])
  .map((tag) => tag.slice(0, 2).toLowerCase())
  .find((tag) => tag in WORDS) || "en";

/** The word for a key; a key nobody translated shows itself. */
function word(key) {
  return WORDS[LANGUAGE][key] || key;
}
