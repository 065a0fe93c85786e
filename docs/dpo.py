# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Direct preference optimisation, from the formula to a trained model · 从公式到训练好的模型：直接偏好优化（DPO）
#
# This lesson derives DPO, computes each part of it by hand, compares that with the functions Prefscope trains with, and then trains
# the embedded model for a few steps. What it says of formulas and of our functions is checked by an `assert` in the cell below; what
# others found is cited.
#
# 本课推导 DPO，先手工计算它的每个部分，再与 Prefscope 训练时使用的函数比较，最后把内置模型训练几步。
# 文中关于公式和我们的函数的论断，都由其下方单元格里的 `assert` 检验；他人的发现则注明文献。
#
# It needs `./run.sh setup` and no GPU. The notebook is made from [dpo.py](dpo.py) by `python -m docs.lesson`.
#
# 只需先运行 `./run.sh setup`，不需要 GPU。本笔记本由 [dpo.py](dpo.py) 经 `python -m docs.lesson` 生成。

# %%
import json
import math
import sys
import warnings
from array import array
from pathlib import Path

warnings.filterwarnings("ignore", message="IProgress not found")  # a progress bar's wish for ipywidgets
sys.path.insert(0, str(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "engine").is_dir())))  # wherever Jupyter was started

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from dashboard.figures.theme import COLOURS
from engine import ROOT
from engine.data.formats import align_anything
from engine.data.records import PreferencePair, Turn
from engine.data.sources import STARTER
from engine.kinds import losses
from engine.kinds.generate import answer_of, end_tokens
from engine.kinds.policy import by_side
from engine.model.batches import Chat, Encoded, encode_pairs
from engine.model.decoding import STEP_ATTENTION, continued
from engine.model.networks import Policy, load_policy, load_tokenizer
from engine.model.packing import pack
from engine.model.tree import ATTENTION
from engine.settings.config import EMBEDDED_MODEL, SYSTEM_PROMPT, GenerateConfig

torch.manual_seed(0)
plt.rcParams.update({"figure.figsize": (6.5, 2.8), "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## 1. Bradley-Terry: a reward is a number whose differences predict choices · Bradley-Terry：奖励之差预测选择
#
# Somebody reads a prompt $x$ and prefers the response $y_c$ (chosen) to $y_r$ (rejected). The model of
# Bradley and Terry (1952) says that each response has a reward $r(x, y)$, and that
#
# 有人读了提示 $x$，更喜欢回答 $y_c$（chosen），而不是 $y_r$（rejected）。
# Bradley 和 Terry（1952）的模型认为每个回答都有一个奖励 $r(x, y)$，并且
#
# $$p(y_c \succ y_r \mid x) = \sigma\big(r(x, y_c) - r(x, y_r)\big), \qquad
# L = -\log \sigma\big(r(x, y_c) - r(x, y_r)\big) \qquad \text{(Rafailov et al. 2023, Eq. 1 and 2)}$$
#
# with $\sigma(z) = 1 / (1 + e^{-z})$. A reward model is trained with this loss. Only differences count: adding a number to both
# rewards changes nothing. Hence a reward has no zero, and two negative rewards do not mean that neither response is good.
#
# 其中 $\sigma(z) = 1 / (1 + e^{-z})$。奖励模型就用这个损失训练。只有差值有意义：两个奖励同时加上一个数，什么都不变。
# 所以奖励没有零点，两个奖励都为负并不表示两个回答都不好。

# %%
chosen_reward = torch.tensor([2.0, 0.0, -5.375, 94.625])
rejected_reward = torch.tensor([0.0, 0.0, -7.625, 92.375])  # the last two differ by 2.25 each
probability = torch.sigmoid(chosen_reward - rejected_reward)
loss = losses.bradley_terry(chosen_reward, rejected_reward).loss

print("reward chosen ", chosen_reward.tolist())
print("reward rejected", rejected_reward.tolist())
print("p(chosen)     ", [round(p, 3) for p in probability.tolist()])
print("loss          ", [round(v, 3) for v in loss.tolist()])

assert torch.allclose(loss, -probability.log())
assert math.isclose(loss[1], math.log(2), rel_tol=1e-6)  # equal rewards: a coin
assert torch.allclose(loss[2], loss[3])  # both negative or both positive: the same

# %% [markdown]
# If 30 of 40 people prefer one response, the loss is least where $\sigma$ of the difference is the share 30/40, which is
# a difference of $\log(30/10)$. Gradient descent finds it. The loss is maximum likelihood; it does not ask why the people chose so.
#
# 如果 40 个人中有 30 个更喜欢某个回答，那么当差值的 $\sigma$ 等于比例 30/40，也就是差值为 $\log(30/10)$ 时，损失最小。
# 梯度下降能找到它。这个损失就是极大似然，它并不问人们为什么这样选。

# %%
difference = torch.zeros((), requires_grad=True)
zero = torch.zeros(())
for _step in range(100):
    votes = 30 * losses.bradley_terry(difference, zero).loss + 10 * losses.bradley_terry(zero, difference).loss
    (slope,) = torch.autograd.grad(votes, difference)
    with torch.no_grad():
        difference -= 0.1 * slope

print(f"difference of rewards {difference.item():.4f}, log 3 = {math.log(3):.4f}")
assert math.isclose(difference.item(), math.log(3), abs_tol=1e-3)

# %% [markdown]
# ## 2. The policy that a reward asks for · 奖励所要求的策略
#
# A policy $\pi$ should earn reward without leaving the reference $\pi_\text{ref}$, the model it starts from:
#
# 策略 $\pi$ 应当获得奖励，但又不离开它的起点，即参考模型 $\pi_\text{ref}$：
#
# $$\max_\pi\; \mathbb{E}_{y \sim \pi}[r(x, y)] - \beta\, \mathrm{KL}\big(\pi(\cdot|x) \,\|\, \pi_\text{ref}(\cdot|x)\big)
# \qquad \text{(Rafailov et al. 2023, Eq. 3)}$$
#
# Write $Z(x) = \sum_y \pi_\text{ref}(y|x)\, e^{r(x, y)/\beta}$ and $\pi^*(y|x) = \pi_\text{ref}(y|x)\, e^{r(x, y)/\beta} / Z(x)$ (Eq. 4).
# Putting $r = \beta \log (\pi^* / \pi_\text{ref}) + \beta \log Z$ into the objective gives
#
# 记 $Z(x) = \sum_y \pi_\text{ref}(y|x)\, e^{r(x, y)/\beta}$ 和 $\pi^*(y|x) = \pi_\text{ref}(y|x)\, e^{r(x, y)/\beta} / Z(x)$（公式 4）。
# 把 $r = \beta \log (\pi^* / \pi_\text{ref}) + \beta \log Z$ 代入目标函数，得到
#
# $$\mathbb{E}_{\pi}[r] - \beta\, \mathrm{KL}(\pi \,\|\, \pi_\text{ref}) = \beta \log Z(x) - \beta\, \mathrm{KL}(\pi \,\|\, \pi^*).$$
#
# The first term does not depend on $\pi$ and a KL divergence is never negative, so $\pi^*$ is the optimum. Below, $x$ has five
# possible responses, and a thousand random policies are compared with it.
#
# 第一项与 $\pi$ 无关，而 KL 散度不会是负数，所以 $\pi^*$ 就是最优策略。下面假设 $x$ 只有五个可能的回答，用一千个随机策略与它比较。

# %%
beta = 0.5
reward = torch.tensor([2.0, 1.0, 0.0, 0.0, -1.0], dtype=torch.float64)
reference_policy = torch.tensor([0.05, 0.15, 0.50, 0.20, 0.10], dtype=torch.float64)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Σ p log(p / q) over the last dimension."""
    return (p * (p / q).log()).sum(-1)


def objective(p: Tensor) -> Tensor:
    return p @ reward - beta * kl(p, reference_policy)


z = (reference_policy * (reward / beta).exp()).sum()
optimum = reference_policy * (reward / beta).exp() / z
others = torch.randn(1000, 5, dtype=torch.float64).softmax(-1)

print("reference", [round(p, 3) for p in reference_policy.tolist()])
print("optimum  ", [round(p, 3) for p in optimum.tolist()])
print(f"objective: optimum {objective(optimum):.4f} = β log Z {beta * z.log():.4f}; best of 1000 others {objective(others).max():.4f}")

assert torch.allclose(objective(others), beta * z.log() - beta * kl(others, optimum))
assert torch.isclose(objective(optimum), beta * z.log())
assert (objective(others) < objective(optimum)).all()

# %% [markdown]
# ### Why Z cancels · 为什么 Z 会消去
#
# Nobody can compute $Z(x)$ of a language model: it sums over every possible response. But the optimum can be solved for the reward,
#
# 语言模型的 $Z(x)$ 无法计算，因为要对所有可能的回答求和。但可以反过来由最优策略解出奖励，
#
# $$r(x, y) = \beta \log \frac{\pi^*(y|x)}{\pi_\text{ref}(y|x)} + \beta \log Z(x) \qquad \text{(Eq. 5)}$$
#
# and Bradley-Terry needs only the difference of two rewards of the same prompt, in which $\beta \log Z(x)$ occurs twice with
# opposite signs. What is left of a reward is its *implicit reward* $\beta\Delta$, $\Delta = \log \pi(y|x) - \log \pi_\text{ref}(y|x)$.
#
# 而 Bradley-Terry 只需要同一提示下两个奖励之差，其中 $\beta \log Z(x)$ 出现两次，符号相反。
# 奖励剩下的部分叫作*隐式奖励* $\beta\Delta$，其中 $\Delta = \log \pi(y|x) - \log \pi_\text{ref}(y|x)$。

# %%
implicit = beta * (optimum / reference_policy).log()
print("reward          ", reward.tolist())
print("implicit reward ", [round(r, 3) for r in implicit.tolist()])
print(f"their difference is β log Z = {beta * z.log():.3f} for every response")
print(f"responses of 20 tokens, each from a vocabulary of 49,152: 10 to the power {20 * math.log10(49_152):.0f}")

assert torch.allclose(reward - implicit, beta * z.log())
assert torch.allclose(reward[:, None] - reward, implicit[:, None] - implicit)

# %% [markdown]
# ### DPO finds that policy from comparisons alone · DPO 只用比较就能找到这个策略
#
# Put the implicit rewards of the policy in training into the Bradley-Terry loss: that is DPO. Here all comparisons of the
# five responses are known, with the probabilities that the rewards give. The policy never sees a reward or $Z$, and arrives at $\pi^*$.
#
# 把训练中策略的隐式奖励代入 Bradley-Terry 损失，就是 DPO。这里五个回答的所有比较及其概率都已知。
# 策略从未见过奖励和 $Z$，却收敛到 $\pi^*$。


# %%
def logps(chosen: Tensor, rejected: Tensor, lengths: tuple[float, float] = (1, 1)) -> losses.Logps:
    """Log-probabilities of two responses as the losses take them, without tokens in common."""
    sizes = [torch.full_like(chosen, n) for n in lengths]
    return losses.Logps(chosen, rejected, sizes[0], sizes[1], torch.zeros_like(chosen), torch.zeros_like(rejected))


c, r = (1 - torch.eye(5)).nonzero().unbind(1)  # every ordered pair of two different responses
preferred = torch.sigmoid(reward[c] - reward[r])  # how often c is chosen
log_reference = reference_policy.log()
logits = log_reference.clone().requires_grad_()
fitting = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe")


def expected_loss() -> Tensor:
    fitting.zero_grad()
    log_pi = logits.log_softmax(-1)
    each = losses.dpo(logps(log_pi[c], log_pi[r]), logps(log_reference[c], log_reference[r]), beta=beta)
    total = (preferred * each.loss).sum()
    total.backward()
    return total


fitting.step(expected_loss)
found = logits.detach().softmax(-1)
print("found by DPO", [round(p, 4) for p in found.tolist()])
print("optimum     ", [round(p, 4) for p in optimum.tolist()])
assert torch.allclose(found, optimum, atol=1e-4)

# %% [markdown]
# ## 3. Log-probabilities, by hand and ours · 对数概率：手工计算与我们的函数
#
# Now a real model, SmolLM2-135M-Instruct, and pairs of the starter set. These are short, so that the lesson runs on two CPU cores.
#
# 现在使用真实的模型 SmolLM2-135M-Instruct 和入门数据集中的偏好对。这些对都很短，这样本课在两个 CPU 核上就能运行。

# %%
records = (STARTER / "train.jsonl").read_text().splitlines()
lines = [15, 113, 116, 181, 365, 208, 260, 32]  # of short pairs; the last two are held out
pairs = [align_anything(json.loads(records[i]), i + 1) for i in lines]
trained_pairs, held_out_pairs = pairs[:6], pairs[6:]

tokenizer = load_tokenizer(ROOT / "cache", EMBEDDED_MODEL)
chat = Chat(tokenizer, SYSTEM_PROMPT, max_tokens=256)
reference = Policy(load_policy(ROOT / "cache", EMBEDDED_MODEL)).requires_grad_(False)
policy = Policy(load_policy(ROOT / "cache", EMBEDDED_MODEL))

for pair in pairs[:2]:
    print(f"prompt   {pair.turns[-1].content}\nchosen   {pair.chosen}\nrejected {pair.rejected}\n")

# %% [markdown]
# A language model gives each token a probability given all tokens before it, so the log-probability of a response is a sum:
#
# 语言模型在给定前面所有词元的条件下给出每个词元的概率，所以一个回答的对数概率是一个和：
#
# $$\log \pi(y|x) = \sum_{t=1}^{|y|} \log \pi(y_t \mid x, y_{<t}).$$
#
# The prompt $x$ is everything before the response, the chat template's markers included. Of what the template writes after the
# response, the end-of-turn token counts, since the policy must decide to stop; the newline after it does not, since nobody generates it.
# By hand: one forward pass for each token, with the attention of the library.
#
# 提示 $x$ 是回答之前的一切，包括对话模板的标记。模板写在回答之后的内容中，轮次结束标记计入，因为策略必须决定何时停止；
# 它之后的换行不计入，因为没有谁会生成它。手工计算：每个词元做一次前向计算，使用库自带的注意力。


# %%
@torch.no_grad()
def by_hand(encoded: Encoded) -> list[float]:
    """log π(y_t | x, y_<t) of each token of a response, one forward pass a token, in nats."""
    seen = list(encoded.prompt)
    found = []
    reference.model.set_attn_implementation("sdpa")
    for token in encoded.response[: encoded.ends]:
        next_logits = reference.model(input_ids=torch.tensor([seen])).logits[0, -1]
        found.append(next_logits.log_softmax(-1)[token].item())
        seen.append(token)
    reference.model.set_attn_implementation(ATTENTION)
    return found


answer = encode_pairs(chat, pairs[3:4])[0][0]
each_token = by_hand(answer)
print(
    "the prompt ends in",
    repr(tokenizer.decode(answer.prompt[-4:])),
    "and after the response comes",
    repr(tokenizer.decode(answer.response[-2:])),
)
for token, value in zip(answer.response, each_token, strict=False):
    print(f"{value:8.3f}  {tokenizer.decode([token])!r}")
print(f"{sum(each_token):8.3f}  sum, {sum(each_token) / answer.ends:.3f} a token")

# %% [markdown]
# Ours puts both responses of all pairs into one row of tokens, each prompt once, without padding, and computes them in one pass
# (`engine/model/packing.py`, `engine/model/tree.py`). A fast path must equal the slow, obvious one.
#
# 我们的函数把所有对的两个回答放进同一行词元，每个提示只放一次，没有填充，一次前向计算完成
# （`engine/model/packing.py`、`engine/model/tree.py`）。快的路径必须与慢而直白的路径相等。


# %%
def measured(net: Policy, some: list[PreferencePair]) -> losses.Logps:
    """Log-probabilities of the pairs' responses under a policy, in nats."""
    packed = pack([side for pair in encode_pairs(chat, some) for side in pair], "last_target")
    return by_side(net(packed), packed.lengths)


under_reference = measured(reference, pairs)
print("chosen  ", [round(v, 2) for v in under_reference.chosen.tolist()], "tokens", under_reference.chosen_tokens.tolist())
print("rejected", [round(v, 2) for v in under_reference.rejected.tolist()], "tokens", under_reference.rejected_tokens.tolist())

assert math.isclose(under_reference.chosen[3], sum(each_token), abs_tol=0.01)
assert under_reference.chosen_tokens[3] == len(each_token) == answer.ends

# %% [markdown]
# ## 4. The DPO loss · DPO 损失
#
# $$L = -\log \sigma(h), \qquad h = \beta\,(\Delta_c - \Delta_r), \qquad \Delta = \log \pi(y|x) - \log \pi_\text{ref}(y|x)
# \qquad \text{(Rafailov et al. 2023, Eq. 7)}$$
#
# $h$ is the margin of the implicit rewards. At the start the policy is the reference, every $\Delta$ is 0, and the loss
# is $\log 2$ whatever the pair and whatever $\beta$: a first value that differs from 0.693 is a bug.
#
# $h$ 是隐式奖励之差（margin）。开始时策略就是参考模型，所有 $\Delta$ 都为 0，
# 无论哪一对、$\beta$ 取何值，损失都是 $\log 2$。如果第一个值不是 0.693，程序就有错。

# %%
with torch.no_grad():
    start = losses.dpo(measured(policy, pairs), under_reference, beta=0.1)
print("loss at the start", [round(v, 4) for v in start.loss.tolist()])
assert torch.allclose(start.loss, torch.full_like(start.loss, math.log(2)), atol=1e-4)

by_formula = -math.log(1 / (1 + math.exp(-0.1 * (3.0 - -2.0))))  # Δ_c = 3, Δ_r = −2, β = 0.1
one = losses.dpo(logps(torch.tensor([-17.0]), torch.tensor([-22.0])), logps(torch.tensor([-20.0]), torch.tensor([-20.0])), beta=0.1)
print(f"loss at Δ_c = 3, Δ_r = −2: {one.loss.item():.4f}, rewards {one.chosen.item():.2f} and {one.rejected.item():.2f}")
assert math.isclose(one.loss.item(), by_formula, rel_tol=1e-5)

# %% [markdown]
# ## 5. The weight in its gradient · 梯度中的权重
#
# $$\nabla L = -\beta \underbrace{\sigma(-h)}_{\text{weight}} \big(\nabla \log \pi(y_c|x) - \nabla \log \pi(y_r|x)\big)
# \qquad \text{(Rafailov et al. 2023, Section 4)}$$
#
# A step raises the chosen response and lowers the rejected one. How strongly depends on how wrong the implicit rewards are: the weight
# $\sigma(-h)$ is near 1 for a pair in the wrong order, 1/2 at the start, and near 0 once the pair is clearly in order.
#
# 每一步都提高 chosen 的概率，降低 rejected 的概率。力度取决于隐式奖励错得多厉害：
# 顺序错误的对权重 $\sigma(-h)$ 接近 1，开始时为 1/2，顺序已经明显正确时接近 0。

# %%
margins = torch.arange(-60.0, 61.0)  # Δ_c − Δ_r, in nats
leaf_chosen, leaf_rejected = (margins - 30).requires_grad_(), torch.full_like(margins, -30.0).requires_grad_()
at_zero = logps(torch.full_like(margins, -30.0), torch.full_like(margins, -30.0))
curve = losses.dpo(logps(leaf_chosen, leaf_rejected), at_zero, beta=0.1)
to_chosen, to_rejected = torch.autograd.grad(curve.loss.sum(), (leaf_chosen, leaf_rejected))
weight = torch.sigmoid(-0.1 * margins)

assert torch.allclose(to_chosen, -0.1 * weight, atol=1e-6)  # the formula
assert torch.allclose(to_chosen, -to_rejected, atol=1e-7)  # both log-probabilities are pushed equally hard

fig, (left, right) = plt.subplots(1, 2, layout="constrained")
left.plot(margins, curve.loss.detach(), color="black")
left.set(xlabel="Δ chosen − Δ rejected (nats)", ylabel="DPO loss")
right.plot(margins, weight, color="black")
right.set(xlabel="Δ chosen − Δ rejected (nats)", ylabel="weight σ(−h), β = 0.1", ylim=(0, 1))
plt.show()

# %% [markdown]
# The same on the real model: the gradient of the loss in every weight of the network is the weighted difference of the gradients
# of the two log-probabilities. The pair is made up for this: the rejected response is the chosen one without capital letters.
#
# 在真实模型上也一样：损失对网络每个参数的梯度，等于两个对数概率梯度的加权差。
# 这一对是为此编写的：rejected 就是去掉大写字母的 chosen。

# %%
parameters = list(policy.parameters())
question = Turn("user", "What is the capital of France?")
made_up = [PreferencePair((question,), "The capital of France is Paris.", "the capital of france is paris.")]
like = measured(policy, made_up)
grad_loss = torch.autograd.grad(losses.dpo(like, measured(reference, made_up), beta=0.1).loss.sum(), parameters, retain_graph=True)
grad_chosen = torch.autograd.grad(like.chosen.sum(), parameters, retain_graph=True)
grad_rejected = torch.autograd.grad(like.rejected.sum(), parameters)

largest = max(g.abs().max().item() for g in grad_loss)
error = max((g - -0.1 * 0.5 * (a - b)).abs().max().item() for g, a, b in zip(grad_loss, grad_chosen, grad_rejected, strict=True))
print(f"largest entry {largest:.4f}, largest difference from the formula {error:.2e}")
assert error < 1e-3 * largest

# %% [markdown]
# ## 6. Why both rewards may fall · 为什么两个奖励可能同时下降
#
# The loss sees $\Delta_c - \Delta_r$ alone. If both log-probabilities fall by 20 nats, it stays the same, and the probability goes
# to responses that are in no pair.
#
# 损失只看得到 $\Delta_c - \Delta_r$。如果两个对数概率都下降 20 纳特，损失不变，而这些概率流向了不在任何一对中的回答。

# %%
lower = losses.dpo(logps(torch.tensor([-37.0]), torch.tensor([-42.0])), logps(torch.tensor([-20.0]), torch.tensor([-20.0])), beta=0.1)
print(f"loss {one.loss.item():.4f}, rewards {one.chosen.item():+.2f} and {one.rejected.item():+.2f}")
print(f"loss {lower.loss.item():.4f}, rewards {lower.chosen.item():+.2f} and {lower.rejected.item():+.2f} when both are 20 nats lower")
assert torch.isclose(lower.loss, one.loss)

# %% [markdown]
# It also happens by itself. A small step of size $\eta$ against the gradient changes the log-probabilities, to first order, by
#
# 它也会自己发生。沿负梯度走步长为 $\eta$ 的一小步，对数概率的一阶变化是
#
# $$\eta \beta \sigma(-h) \big(\|g_c\|^2 - g_c \cdot g_r\big) \quad \text{(chosen)}, \qquad
# \eta \beta \sigma(-h) \big(g_c \cdot g_r - \|g_r\|^2\big) \quad \text{(rejected)},$$
#
# with $g = \nabla \log \pi(y|x)$. The more two responses have in common, the larger $g_c \cdot g_r$, and lowering one lowers the
# other. Where $g_c \cdot g_r > \|g_c\|^2$ the chosen response falls although it is the one preferred (likelihood
# displacement: Pal et al. 2024; Razin et al. 2024). The cell predicts both changes for the pair above, then makes the step.
#
# 其中 $g = \nabla \log \pi(y|x)$。两个回答的共同之处越多，$g_c \cdot g_r$ 越大，降低一个也会降低另一个。
# 当 $g_c \cdot g_r > \|g_c\|^2$ 时，chosen 虽然更受偏好，概率也会下降（likelihood displacement：Pal 等 2024；Razin 等 2024）。
# 下面先对上面这一对预测两个变化，再真正走一步。


# %%
def dot(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> float:
    return sum(torch.dot(x.flatten(), y.flatten()).item() for x, y in zip(a, b, strict=True))


cc, cr, rr = dot(grad_chosen, grad_chosen), dot(grad_chosen, grad_rejected), dot(grad_rejected, grad_rejected)
eta = 2e-6
predicted = torch.tensor([eta * 0.1 * 0.5 * (cc - cr), eta * 0.1 * 0.5 * (cr - rr)])

with torch.no_grad():
    for weights, slope in zip(parameters, grad_loss, strict=True):
        weights.sub_(eta * slope)
    moved = measured(policy, made_up)
    for weights, slope in zip(parameters, grad_loss, strict=True):
        weights.add_(eta * slope)
change = torch.stack([moved.chosen - like.chosen, moved.rejected - like.rejected]).flatten().detach()
del grad_loss, grad_chosen, grad_rejected

print(f"cosine of the two gradients {cr / math.sqrt(cc * rr):.2f}; |g_c|² {cc:,.0f}, g_c·g_r {cr:,.0f}, |g_r|² {rr:,.0f}")
print("change of log π   chosen       rejected")
print(f"predicted     {predicted[0]:+.6f}    {predicted[1]:+.6f}")
print(f"measured      {change[0]:+.6f}    {change[1]:+.6f}")

assert cr > cc  # so both must fall
assert (predicted < 0).all()
assert (change < 0).all()
assert torch.allclose(change, predicted, rtol=0.25)

# %% [markdown]
# ## 7. A few steps of training · 训练几步
#
# Six pairs, five steps of AdamW over all six at once, and two pairs that are only watched. DPO training is no more than this;
# `engine/kinds/policy.py` and `engine/kinds/loop.py` add batches, schedules, checkpoints and memory.
#
# 六个偏好对，AdamW 训练五步，每步同时用全部六对，另有两对只观察。DPO 训练的要点都在这里了；
# `engine/kinds/policy.py` 和 `engine/kinds/loop.py` 再加上批次、学习率调度、检查点和内存管理。

# %%
reference_trained, reference_held_out = (measured(reference, some) for some in (trained_pairs, held_out_pairs))
optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0)
watched = []
for step in range(5):
    now = measured(policy, trained_pairs)
    step_loss = losses.dpo(now, reference_trained, beta=0.1).loss.mean()
    optimizer.zero_grad()
    step_loss.backward()
    optimizer.step()
    delta_c, delta_r = (side.detach().mean().item() for side in losses.log_ratios(now, reference_trained))
    watched.append((step, step_loss.item(), delta_c, delta_r))
    print(f"step {step}: loss {step_loss.item():.4f}  Δ chosen {delta_c:+7.2f}  Δ rejected {delta_r:+7.2f}")
optimizer.zero_grad(set_to_none=True)
del optimizer

assert math.isclose(watched[0][1], math.log(2), abs_tol=1e-4)
assert watched[-1][1] < watched[0][1]

# %%
steps, loss_curve, chosen_curve, rejected_curve = zip(*watched, strict=True)
fig, axes = plt.subplots(layout="constrained")
axes.plot(steps, chosen_curve, color=COLOURS["chosen"], label="chosen")
axes.plot(steps, rejected_curve, color=COLOURS["rejected"], linestyle="dashed", label="rejected")
axes.axhline(0, color="grey", linewidth=0.8)
axes.set(xlabel="optimiser steps done", ylabel="mean Δ of 6 pairs (nats)")
axes.legend(frameon=False)
plt.show()

# %%
policy.requires_grad_(False)
tuned_trained, tuned_held_out = measured(policy, trained_pairs), measured(policy, held_out_pairs)
for name, tuned, before in (("trained on", tuned_trained, reference_trained), ("held out", tuned_held_out, reference_held_out)):
    for delta_chosen, delta_rejected in zip(*losses.log_ratios(tuned, before), strict=True):
        h = 0.1 * (delta_chosen - delta_rejected)
        print(f"{name:10}  Δ chosen {delta_chosen:+7.2f}  Δ rejected {delta_rejected:+7.2f}  margin h {h:+6.2f}")

ratio_chosen, ratio_rejected = losses.log_ratios(tuned_trained, reference_trained)
assert (ratio_chosen > ratio_rejected).all()  # every pair that was trained on is in order now

# %% [markdown]
# The differences grow on every pair that was trained on; what the log-ratios themselves do is in the figure, and nothing in the
# loss decides it. Six pairs are learned by heart in a few steps, so the two held-out pairs are the ones to look at, and two are too few
# to say anything. On the starter set, the page *Training* shows the same curves for more pairs, and *DPO vs base* what became of the
# answers.
#
# 训练过的每一对差值都在增大；而对数比本身如何变化见图，损失对此毫无约束。六个对几步之内就被背了下来，所以该看的是那两个没有训练的对，
# 而两个对太少，什么也说明不了。在入门数据集上，*Training* 页显示更多对的同样曲线，*DPO vs base* 页显示回答变成了什么样。

# %% [markdown]
# ## 8. On-policy and off-policy · 同策略与异策略
#
# The pairs of a file were written by somebody else: the policy learns from responses it would not write (off-policy), and from a fixed set
# of them (offline). RLHF with PPO samples from the policy as it is now (on-policy, online). How far apart these are can be measured:
# the log-probability per token that the reference gives to the file's responses, and to its own.
#
# 文件里的偏好对是别人写的：策略从它自己不会写的回答中学习（异策略，off-policy），而且回答的集合固定不变（离线，offline）。
# 用 PPO 的 RLHF 则从当前策略采样（同策略，on-policy；在线，online）。两者相差多远可以测量：
# 参考模型给文件中的回答和给它自己的回答的每词元对数概率。


# %%
def answers(net: Policy, temperature: float) -> tuple[list[Encoded], list[str]]:
    """The net's answers to the prompts of the pairs, at most 24 tokens each: as tokens, and as text."""
    config = GenerateConfig(dataset="starter", temperature=temperature, max_new_tokens=24)
    ends = end_tokens(net.model.generation_config, tokenizer)
    prompts = [chat.prompt(pair.turns) for pair in pairs]
    net.model.set_attn_implementation(STEP_ATTENTION)
    torch.manual_seed(0)
    written = continued(net.model, prompts, ends, config, "cpu")
    net.model.set_attn_implementation(ATTENTION)
    encoded = [Encoded(prompt, array("i", tokens), len(tokens), False) for prompt, tokens in zip(prompts, written, strict=True)]
    return encoded, [answer_of(tokenizer, tokens, ends)[0] for tokens in written]


def totals(net: Policy, some: list[Encoded]) -> Tensor:
    """log π(y|x) of each response, (N,) in nats."""
    found: Tensor = net(pack(some, "last_target"))[:, 0]
    return found


base_greedy, base_texts = answers(reference, temperature=0.0)
tuned_texts = answers(policy, temperature=0.0)[1]
base_samples = answers(reference, temperature=1.0)[0]
tuned_samples = answers(policy, temperature=1.0)[0]
per_token = {
    "chosen in the file": under_reference.chosen.sum() / under_reference.chosen_tokens.sum(),
    "rejected in the file": under_reference.rejected.sum() / under_reference.rejected_tokens.sum(),
    "greedy answers": totals(reference, base_greedy).sum() / sum(len(s.response) for s in base_greedy),
    "sampled answers": totals(reference, base_samples).sum() / sum(len(s.response) for s in base_samples),
}
for name, each in per_token.items():
    print(f"log π_ref per token, {name:20} {each:.2f}")
print(f"\nprompt: {pairs[1].turns[-1].content}\nbase:   {base_texts[1]}\ntuned:  {tuned_texts[1]}")

assert per_token["greedy answers"] > max(per_token["chosen in the file"], per_token["rejected in the file"])

# %% [markdown]
# The file's responses are less probable than what the model answers when it takes the likeliest token each time. Samples at temperature
# 1 are no yardstick: their $-\log \pi$ per token is the model's own entropy, which is large in a model this small. That the responses
# are somebody else's matters in three ways. The gradient pushes on tokens that the policy would seldom write. What it does write, its own
# mistakes, is in no pair. And the average of $\Delta$ over the file's responses says nothing about the distance from the reference,
# which is an average over the policy's *own* responses:
#
# 文件中的回答，概率低于模型每次取最可能词元时给出的回答。温度为 1 的采样不能当尺子：其每词元的 $-\log \pi$ 就是模型自身的熵，
# 对这么小的模型来说很大。回答出自他人，这有三方面影响：梯度作用在策略很少写的词元上；它真正会写的东西，
# 即它自己的错误，不在任何一对里；在文件的回答上求 $\Delta$ 的平均，也说明不了与参考模型的距离，
# 因为距离是对策略*自己的*回答求平均：
#
# $$\mathrm{KL}(\pi \,\|\, \pi_\text{ref}) = \mathbb{E}_{y \sim \pi}[\Delta] \ge 0, \qquad
# -\mathrm{KL}(\pi_\text{ref} \,\|\, \pi) = \mathbb{E}_{y \sim \pi_\text{ref}}[\Delta] \le 0.$$

# %%
for name, samples in (("tuned", tuned_samples), ("base", base_samples)):
    deltas = totals(policy, samples) - totals(reference, samples)
    error_of_mean = deltas.std() / len(deltas) ** 0.5
    print(f"mean Δ over {len(samples)} answers of the {name:5} policy: {deltas.mean():+.2f} nats (standard error {error_of_mean:.2f})")
mean_delta = torch.cat(losses.log_ratios(tuned_trained, reference_trained)).mean()
print(f"mean Δ over the 12 responses trained on: {mean_delta:+.2f} nats")

# %% [markdown]
# Online and iterative variants of DPO let the policy answer, have the answers compared by people or a reward model, and train on these
# pairs (Guo et al. 2024; Xu et al. 2024). [dpo.md](dpo.md#what-do-off-policy-and-offline-cost) says how to do a round of it here.
#
# 在线和迭代的 DPO 变体让策略自己回答，由人或奖励模型比较，再用这些对训练（Guo 等 2024；Xu 等 2024）。
# [dpo.md](dpo.md#what-do-off-policy-and-offline-cost) 说明在这里如何做一轮。

# %% [markdown]
# ## 9. What IPO, KTO, SimPO and ORPO change · IPO、KTO、SimPO 和 ORPO 改变了什么
#
# Each loss on the same three pairs, with the log-probabilities just trained. What a loss does to a response is its gradient in
# $\log \pi(y|x)$: negative raises the response, positive lowers it, and the size says how hard.
#
# 用刚训练出的对数概率，在同样的三个对上计算每个损失。一个损失怎样作用于某个回答，看它对 $\log \pi(y|x)$ 的梯度：
# 负的提高该回答，正的降低它，大小表示力度。


# %%
def first(found: losses.Logps, n: int) -> losses.Logps:
    return losses.Logps(*(value[:n].detach().clone() for value in vars(found).values()))


def pushes(name: str, policy_logps: losses.Logps, reference_logps: losses.Logps, **settings: float | str) -> tuple[Tensor, Tensor, Tensor]:
    """A loss and its gradients in log π of chosen and of rejected, each (B,)."""
    at = first(policy_logps, len(policy_logps.chosen))
    sides = at.chosen.requires_grad_(), at.rejected.requires_grad_()
    objective_of_it = losses.Objective(((1.0, losses.POLICY_LOSSES[name], settings),))
    shift = losses.reference_point(torch.cat(losses.log_ratios(at, reference_logps)))
    value = objective_of_it(at, reference=reference_logps, shift=shift).loss
    to_its_chosen, to_its_rejected = torch.autograd.grad(value.sum(), sides)
    return value.detach(), to_its_chosen, to_its_rejected


three, three_before = first(tuned_trained, 3), first(reference_trained, 3)
print("Δ chosen  ", [round(v, 2) for v in (three.chosen - three_before.chosen).tolist()], "tokens", three.chosen_tokens.tolist())
print("Δ rejected", [round(v, 2) for v in (three.rejected - three_before.rejected).tolist()], "tokens", three.rejected_tokens.tolist())
print(f"\n{'':5} {'loss':>22}   {'gradient, chosen':>24}   {'gradient, rejected':>24}")
for name in ("dpo", "ipo", "kto", "simpo", "orpo"):
    columns = ["".join(f"{v:8.4f}" for v in column.tolist()) for column in pushes(name, three, three_before)]
    print(f"{name:5} " + "   ".join(columns))

# %% [markdown]
# **IPO** (Azar et al. 2023, Eq. 17) replaces the logistic loss, which is never satisfied, by a square with a target:
# $L = (h' - 1/(2\beta))^2$ with $h' = \Delta_c - \Delta_r$. Beyond the target the gradient turns round. This bounds how far pairs that are
# never contradicted can drive the policy. (The table has $\Delta / |y|$ for $\Delta$, the default here; the cell below has the sum.)
#
# **IPO**（Azar 等 2023，公式 17）把永不满足的 logistic 损失换成有目标值的平方：$L = (h' - 1/(2\beta))^2$，其中 $h' = \Delta_c - \Delta_r$。
# 超过目标后梯度反向。这样，从未被反驳的对能把策略推多远就有了界限。
# （上表用 $\Delta / |y|$ 代替 $\Delta$，这是此处的默认设置；下面的单元格用的是求和。）

# %%
ipo_push = pushes("ipo", logps(leaf_chosen.detach(), leaf_rejected.detach()), at_zero, beta=0.1, reduction="sum")[1]
assert ipo_push[margins < 5].lt(0).all()  # below the target 1 / (2 · 0.1) = 5 nats
assert ipo_push[margins == 5].abs().max() < 1e-4
assert ipo_push[margins > 5].gt(0).all()
assert to_chosen.lt(0).all()  # DPO never has enough
print("gradient of IPO in log π(chosen) at a difference of 4, 5, 6 nats:", [round(v, 2) for v in ipo_push[[64, 65, 66]].tolist()])

# %% [markdown]
# **KTO** (Ethayarajh et al. 2024, Eq. 8) judges each response by itself against a reference point $z_0$, an estimate of the KL divergence:
# $L = \lambda_w (1 - \sigma(\beta(\Delta_c - z_0))) + \lambda_l (1 - \sigma(\beta(z_0 - \Delta_r)))$. It needs no pairs, only responses
# marked as good or bad (Prefscope gives it pairs), and it lets go of a response far from $z_0$ on either side, wrong labels included.
#
# **KTO**（Ethayarajh 等 2024，公式 8）把每个回答单独与参考点 $z_0$（KL 散度的估计）比较：
# $L = \lambda_w (1 - \sigma(\beta(\Delta_c - z_0))) + \lambda_l (1 - \sigma(\beta(z_0 - \Delta_r)))$。它不需要成对的数据，
# 只需要标为好或坏的回答（Prefscope 给它的是成对的），对远离 $z_0$ 的回答，无论在哪一侧，它都会放手，标错的也一样。

# %%
sweep = torch.tensor([-60.0, 0.0, 60.0])
no_change = torch.zeros(3)
kto_push, kto_other = pushes("kto", logps(sweep, no_change), logps(no_change, no_change))[1:]
dpo_push, dpo_other = pushes("dpo", logps(sweep, no_change), logps(no_change, no_change))[1:]
print("Δ chosen                  ", sweep.tolist())
print("KTO, gradient of chosen   ", [round(v, 4) for v in kto_push.tolist()], " of rejected", [round(v, 4) for v in kto_other.tolist()])
print("DPO, gradient of chosen   ", [round(v, 4) for v in dpo_push.tolist()], " of rejected", [round(v, 4) for v in dpo_other.tolist()])

assert torch.allclose(kto_other, kto_other[:1].expand(3))  # the rejected response is judged by itself
assert kto_push.abs().argmax() == 1  # KTO pulls hardest near the reference point
assert dpo_push.abs().argmax() == 0  # DPO pulls hardest where it is most wrong

# %% [markdown]
# **SimPO** (Meng et al. 2024, Eq. 6) has no reference. Its reward is the log-probability per token, and it wants a margin $\gamma$:
# $L = -\log \sigma(\beta p_c - \beta p_r - \gamma)$ with $p = \log \pi(y|x) / |y|$. No second model is kept or asked, and the reward is
# the quantity by which beam search ranks answers; but nothing in the loss holds the policy near where it began.
#
# **SimPO**（Meng 等 2024，公式 6）没有参考模型。它的奖励是每词元的对数概率，并要求一个间隔 $\gamma$：
# $L = -\log \sigma(\beta p_c - \beta p_r - \gamma)$，其中 $p = \log \pi(y|x) / |y|$。不需要保存或调用第二个模型，
# 奖励也正是束搜索用来给回答排序的量；但损失中没有什么把策略留在起点附近。
#
# **ORPO** (Hong et al. 2024, Eq. 6 and 7) has no reference either. It adds to the usual supervised loss $-p_c$ the log odds ratio of
# the two: $L = -p_c - \beta \log \sigma(\log \mathrm{odds}_c - \log \mathrm{odds}_r)$, $\mathrm{odds} = e^p / (1 - e^p)$. The first
# term raises the chosen response always, so it cannot fall together with the rejected one without cost.
#
# **ORPO**（Hong 等 2024，公式 6 和 7）也没有参考模型。它在通常的监督损失 $-p_c$ 之外加上两者的对数几率比：
# $L = -p_c - \beta \log \sigma(\log \mathrm{odds}_c - \log \mathrm{odds}_r)$，$\mathrm{odds} = e^p / (1 - e^p)$。第一项始终提高 chosen，
# 所以 chosen 不能毫无代价地与 rejected 一起下降。

# %%
elsewhere = logps(three_before.chosen - 10, three_before.rejected + 10)  # another reference
for name in ("simpo", "orpo"):
    assert torch.equal(pushes(name, three, three_before)[0], pushes(name, three, elsewhere)[0])  # it is never asked
assert not torch.equal(pushes("dpo", three, three_before)[0], pushes("dpo", three, elsewhere)[0])

fallen = logps(three.chosen - 20, three.rejected - 20)
usual = logps(three.chosen, three.rejected)
for name in ("dpo", "ipo", "simpo", "orpo", "dpop", "rpo"):
    before_fall, after_fall = (pushes(name, at, three_before)[0].mean() for at in (usual, fallen))
    assert (after_fall - before_fall > 1) == (name in ("orpo", "dpop", "rpo"))
    print(
        f"{name:5} mean loss {before_fall:9.4f}, after both fell by 20 nats {after_fall:9.4f}, difference {after_fall - before_fall:+9.4f}"
    )

# %% [markdown]
# Only the last three resist a common fall: ORPO and RPO (Pang et al. 2024, Eq. 1) by the log-likelihood of the chosen response, DPOP
# (Pal et al. 2024, Eq. 3) by a penalty on $\max(0, -\Delta_c)$. (Lengths count as 1 in this cell.)
#
# 只有后三个抵抗共同下降：ORPO 和 RPO（Pang 等 2024，公式 1）靠 chosen 的对数似然，
# DPOP（Pal 等 2024，公式 3）靠对 $\max(0, -\Delta_c)$ 的惩罚。（此单元格中长度按 1 计。）

# %% [markdown]
# ## 10. Length · 长度
#
# DPO sums over tokens. Let each token of a response change by the same small amount, and the longer response has changed more: with
# 0.05 nats a token, a response of 60 tokens earns three times the reward of one of 20. A difference in length becomes a margin, and
# being longer is an easy way to be right (Park et al. 2024). SimPO divides by $|y|$; LD-DPO (Liu et al. 2024) counts tokens beyond the
# other response's length $\alpha$ times; R-DPO (Park et al. 2024, Eq. 9) takes $\alpha\,(|y_c| - |y_r|)$ into the loss.
#
# DPO 对词元求和。如果回答的每个词元都变化同样小的量，较长的回答变化就更大：每词元 0.05 纳特时，
# 60 个词元的回答得到的奖励是 20 个词元的三倍。长度之差变成了间隔，写得更长成了取胜的捷径（Park 等 2024）。SimPO 除以 $|y|$；
# LD-DPO（Liu 等 2024）把超出另一回答长度的词元按 $\alpha$ 计；R-DPO（Park 等 2024，公式 9）把 $\alpha\,(|y_c| - |y_r|)$ 放进损失。

# %%
size = torch.tensor([60.0]), torch.tensor([20.0])  # tokens of chosen and rejected


def each_token_by(change: float, start_at: float = -2.0) -> losses.Logps:
    """Responses whose tokens all have the same log-probability; they have 20 tokens in common."""
    value = start_at + change
    return losses.Logps(value * size[0], value * size[1], *size, torch.tensor([value * 20]), torch.tensor([value * 20]))


rewards = {
    "dpo": losses.dpo(each_token_by(0.05), each_token_by(0), beta=0.1),
    **{f"ld_dpo, α = {a}": losses.ld_dpo(each_token_by(0.05), each_token_by(0), beta=0.1, alpha=a) for a in (0.5, 0.0)},
    "simpo": losses.simpo(each_token_by(0.05), beta=2.0, gamma=0.0),
}
for name, implied in rewards.items():
    margin = (implied.chosen - implied.rejected).item()
    print(f"{name:15} reward chosen {implied.chosen.item():7.3f}, rejected {implied.rejected.item():7.3f}, margin {margin:+.3f}")

assert torch.isclose(rewards["dpo"].chosen, 3 * rewards["dpo"].rejected, rtol=1e-3)
for name in ("ld_dpo, α = 0.0", "simpo"):
    assert torch.isclose(rewards[name].chosen, rewards[name].rejected, atol=1e-5)
r_dpo, plain = losses.r_dpo(each_token_by(0.05), each_token_by(0), beta=0.1, alpha=0.01), rewards["dpo"]
assert (r_dpo.loss < plain.loss).all()  # its length explains a part of why it was chosen, so there is less left to learn

# %% [markdown]
# On the real pairs: a sum over tokens follows the length, a mean does not have to.
#
# 在真实的对上：对词元求和会随长度变化，平均则不一定。

# %%
lengths = torch.cat([under_reference.chosen_tokens, under_reference.rejected_tokens]).double()
sums = torch.cat([under_reference.chosen, under_reference.rejected]).double()
correlations = {name: torch.corrcoef(torch.stack([lengths, v]))[0, 1].item() for name, v in (("sum", sums), ("mean", sums / lengths))}
for name, value in correlations.items():
    print(f"correlation of length with the {name:4} of log π_ref over tokens, {len(lengths)} responses: {value:+.2f}")

beyond = {name: v.detach() for name, v in zip(("chosen", "rejected"), losses.log_ratios(tuned_trained, reference_trained), strict=True)}
in_common = tuned_trained.chosen_common - reference_trained.chosen_common, tuned_trained.rejected_common - reference_trained.rejected_common
for i, (n_c, n_r) in enumerate(zip(tuned_trained.chosen_tokens.tolist(), tuned_trained.rejected_tokens.tolist(), strict=True)):
    whole_margin, common_margin = (beyond["chosen"] - beyond["rejected"])[i], (in_common[0] - in_common[1])[i]
    print(
        f"pair {i}: {n_c:2} and {n_r:2} tokens, Δ chosen − Δ rejected {whole_margin:+6.2f}, of the tokens in common {common_margin:+6.2f}"
    )

assert correlations["sum"] < 0

# %% [markdown]
# ## 11. From here · 接下来
#
# `./run.sh` does all this on more pairs, lets both policies answer held-out prompts and measures which answers a reward model prefers:
# `./run.sh engine policy --dataset … --loss ipo` and the others. [losses.md](losses.md) lists every loss, [dpo.md](dpo.md) and
# [reward-models.md](reward-models.md) answer the questions that come next, each with the page that shows it on data.
#
# `./run.sh` 在更多的对上完成这一切，让两个策略回答未用于训练的提示词，并测量奖励模型更喜欢哪个回答：
# `./run.sh engine policy --dataset … --loss ipo` 等等。[losses.md](losses.md) 列出所有损失，
# [dpo.md](dpo.md) 和 [reward-models.md](reward-models.md) 回答接下来的问题，并指出在数据上显示它的页面。
#
# **References · 文献**
#
# - Azar et al. 2023, A General Theoretical Paradigm to Understand Learning from Human Preferences, arXiv:2310.12036 (IPO)
# - Bradley and Terry 1952, Rank Analysis of Incomplete Block Designs, Biometrika 39
# - Ethayarajh et al. 2024, KTO: Model Alignment as Prospect Theoretic Optimization, arXiv:2402.01306
# - Guo et al. 2024, Direct Language Model Alignment from Online AI Feedback, arXiv:2402.04792
# - Hong et al. 2024, ORPO: Monolithic Preference Optimization without Reference Model, arXiv:2403.07691
# - Liu et al. 2024, Length Desensitization in Direct Preference Optimization, arXiv:2409.06411 (LD-DPO)
# - Meng et al. 2024, SimPO: Simple Preference Optimization with a Reference-Free Reward, arXiv:2405.14734
# - Pal et al. 2024, Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive, arXiv:2402.13228
# - Pang et al. 2024, Iterative Reasoning Preference Optimization, arXiv:2404.19733 (RPO)
# - Park et al. 2024, Disentangling Length from Quality in Direct Preference Optimization, arXiv:2403.19159 (R-DPO)
# - Rafailov et al. 2023, Direct Preference Optimization: Your Language Model is Secretly a Reward Model, arXiv:2305.18290
# - Razin et al. 2024, Unintentional Unalignment: Likelihood Displacement in Direct Preference Optimization, arXiv:2410.08847
# - Xu et al. 2024, Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study, arXiv:2404.10719
