"use strict";
const root = document.documentElement, body = document.body, about = document.getElementById("about");
const press = (button, on) => button.setAttribute("aria-pressed", String(on));

const logprobs = document.getElementById("logprobs");
logprobs.onclick = () => press(logprobs, body.classList.toggle("with-logprobs"));
const special = document.getElementById("special");
special.onclick = () => press(special, !body.classList.toggle("without-special"));
document.getElementById("scheme").onclick = () => {
  const dark = root.dataset.scheme ? root.dataset.scheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.scheme = dark ? "light" : "dark";
};

const row = (name, value) => {
  const line = document.createElement("tr");
  for (const text of [name, value]) line.appendChild(document.createElement("td")).textContent = text;
  return line;
};
const place = (token) => {
  let at = Number(token.parentNode.getAttribute("n"));
  for (let other = token.previousElementSibling; other; other = other.previousElementSibling) at += 1;
  return at;
};
const describe = (token) => {
  const piece = token.parentNode, logprob = token.getAttribute("p"), table = document.createElement("table");
  const text = document.createElement("b");
  text.textContent = token.textContent ? JSON.stringify(token.textContent) : "(part of the next token's character)";
  table.append(row("token", token.getAttribute("t")), row("place", place(token)));
  if (logprob !== null) table.append(row("logprob", `${logprob} (${(100 * Math.exp(Number(logprob))).toPrecision(3)} %)`));
  if (piece.dataset.version) table.append(row("version", piece.dataset.version));
  if (piece.dataset.message) table.append(row("message", piece.dataset.message));
  table.append(row("", piece.dataset.meaning || document.querySelector(`.legend [data-kind="${piece.dataset.kind}"]`).textContent));
  about.replaceChildren(text, table);
  about.classList.add("on");
  const box = token.getBoundingClientRect(), own = about.getBoundingClientRect();
  const below = box.bottom + own.height + 12 < innerHeight;
  about.style.left = `${Math.max(8, Math.min(box.left, innerWidth - own.width - 8))}px`;
  about.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - own.height - 6)}px`;
};
document.addEventListener("mouseover", (event) => {
  const token = event.target.closest && event.target.closest("i[t]");
  if (token) describe(token);
  else about.classList.remove("on");
});

const header = document.querySelector("header"), page = document.querySelector(".page");
new ResizeObserver(() => {
  root.style.scrollPaddingTop = `${header.offsetHeight + 16}px`;
  page.style.setProperty("--header", `${header.offsetHeight}px`);
}).observe(header);

const sections = [...document.querySelectorAll("section")], links = [...document.querySelectorAll("nav a")];
let current = 0;
const mark = (at) => {
  current = at;
  links.forEach((link, i) => (i === at ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  if (links[at]) links[at].scrollIntoView({ block: "nearest" });
};
const seen = new IntersectionObserver(() => {
  const line = header.getBoundingClientRect().bottom + 40;
  const at = sections.findIndex((section) => section.getBoundingClientRect().bottom > line);
  if (at >= 0 && at !== current) mark(at);
}, { threshold: [0, 0.02, 0.1, 0.3, 0.6, 1] });
sections.forEach((section) => seen.observe(section));
const go = (step) => {
  const at = Math.max(0, Math.min(sections.length - 1, current + step));
  sections[at].scrollIntoView();
  mark(at);
};
document.getElementById("before").onclick = () => go(-1);
document.getElementById("after").onclick = () => go(1);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") go(1);
  if (event.key === "k") go(-1);
  if (event.key === "l") logprobs.click();
  if (event.key === "s") special.click();
});
mark(0);
