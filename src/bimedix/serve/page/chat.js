"use strict";
// The chat page. Text is only ever set as text; every block has its own direction, runs against it are isolated.

const STRINGS = {
  en: {dir: "ltr", other: "العربية", fresh: "New chat", send: "Send", stop: "Stop", hint: "Write in any language",
    notice: "Research software. Not for clinical decisions: ask a health professional. In an emergency call your local emergency number.",
    failed: "The answer broke off."},
  ar: {dir: "rtl", other: "English", fresh: "محادثة جديدة", send: "إرسال", stop: "إيقاف", hint: "اكتب بأي لغة",
    notice: "برنامج بحثي، لا يصلح للقرارات السريرية: استشر مختصًا صحيًا. في الحالات الطارئة اتصل برقم الطوارئ المحلي.",
    failed: "انقطعت الإجابة."},
};
const RTL = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/u;
const STRONG = /\p{L}/u;
const RUNS = {
  rtl: /[A-Za-z0-9][A-Za-z0-9 .,:/%+\-–−<>≤≥=°²³µμ()]*[A-Za-z0-9%)°²³]|[A-Za-z0-9]/gu,
  ltr: /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc](?:[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc ،؛؟]*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc])?/gu,
};
const byId = (id) => document.getElementById(id);
let interfaceLanguage = (navigator.language || "en").startsWith("ar") ? "ar" : "en";
let messages = [];
let running = null;

/** Direction of one block: at least 2 right-to-left letters, and 35 % of the letters (text.block_direction). */
function blockDirection(text, fallback) {
  let right = 0, left = 0;
  for (const char of text) {
    if (!STRONG.test(char)) continue;
    if (RTL.test(char)) right += 1; else left += 1;
  }
  if (right + left === 0) return fallback;
  return right >= 2 && right / (right + left) >= 0.35 ? "rtl" : "ltr";
}

/** A closing parenthesis belongs to the block whose opening one stands outside of the run. */
function withoutOpenEnds(run) {
  let inside = run;
  while (inside.endsWith(")") && inside.split(")").length > inside.split("(").length) inside = inside.slice(0, -1);
  return inside;
}

function fillBlock(element, text, fallback) {
  const direction = blockDirection(text, fallback);
  element.dir = direction;
  element.replaceChildren();
  let at = 0;
  for (const run of text.matchAll(RUNS[direction])) {
    element.append(text.slice(at, run.index));
    const inside = withoutOpenEnds(run[0]);
    const isolated = document.createElement("bdi");
    isolated.dir = direction === "rtl" ? "ltr" : "rtl";
    isolated.textContent = inside;
    element.append(isolated);
    at = run.index + inside.length;
  }
  element.append(text.slice(at));
}

function fillMessage(article, text) {
  const blocks = text.replace(/[\u202a-\u202e]/gu, "").split(/\n+/u).filter((block) => block.trim());
  while (article.children.length > blocks.length) article.lastChild.remove();
  blocks.forEach((block, index) => {
    let paragraph = article.children[index];
    if (!paragraph) { paragraph = document.createElement("p"); article.append(paragraph); }
    if (paragraph.dataset.text !== block) {
      paragraph.dataset.text = block;
      fillBlock(paragraph, block, STRINGS[interfaceLanguage].dir);
    }
  });
}

function addMessage(role, text) {
  const article = document.createElement("article");
  article.className = role;
  fillMessage(article, text);
  byId("talk").append(article);
  article.scrollIntoView({block: "end"});
  return article;
}

function showStrings() {
  const strings = STRINGS[interfaceLanguage];
  document.documentElement.lang = interfaceLanguage;
  document.documentElement.dir = strings.dir;
  byId("language").textContent = strings.other;
  byId("language").lang = interfaceLanguage === "ar" ? "en" : "ar";
  byId("fresh").textContent = strings.fresh;
  byId("send").textContent = strings.send;
  byId("stop").textContent = strings.stop;
  byId("text").placeholder = strings.hint;
  byId("notice").textContent = strings.notice;
}

async function* readDeltas(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    rest += value;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /u, "");
      if (data === "[DONE]") return;
      const parsed = JSON.parse(data);
      if (parsed.error) throw new Error(parsed.error.message);
      yield parsed.choices[0]?.delta?.content ?? "";
    }
  }
}

async function send(text) {
  messages.push({role: "user", content: text});
  addMessage("user", text);
  const article = addMessage("assistant", "…");
  running = new AbortController();
  byId("send").hidden = true;
  byId("stop").hidden = false;
  let answer = "";
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST", headers: {"Content-Type": "application/json"}, signal: running.signal,
      body: JSON.stringify({messages, stream: true}),
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const delta of readDeltas(response)) {
      answer += delta;
      fillMessage(article, answer || "…");
      article.scrollIntoView({block: "end"});
    }
  } catch (error) {
    article.classList.add("failed");
    if (error.name !== "AbortError") fillMessage(article, `${answer}\n${STRINGS[interfaceLanguage].failed} ${error.message}`);
  }
  if (answer) messages.push({role: "assistant", content: answer}); else messages.pop();
  running = null;
  byId("send").hidden = false;
  byId("stop").hidden = true;
  byId("text").focus();
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text || running) return;
  byId("text").value = "";
  send(text);
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("form").requestSubmit();
  }
});
byId("text").addEventListener("input", (event) => {
  event.target.dir = blockDirection(event.target.value, STRINGS[interfaceLanguage].dir);
});
byId("stop").addEventListener("click", () => running?.abort());
byId("fresh").addEventListener("click", () => { running?.abort(); messages = []; byId("talk").replaceChildren(); });
byId("language").addEventListener("click", () => { interfaceLanguage = interfaceLanguage === "ar" ? "en" : "ar"; showStrings(); });
showStrings();
