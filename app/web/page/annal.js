"use strict";

const $ = (id) => document.getElementById(id);
let token = ""; // in memory only

const examples = {
  "who am I": "{\n  viewer {\n    account { loginName displayName status roles }\n    permissions\n  }\n}",
  customers: "{\n  customers(first: 10) {\n    nodes { name sector country owner { displayName } }\n    pageInfo { hasNextPage endCursor }\n    totalCount\n  }\n}",
  "open opportunities": "{\n  opportunities(first: 10, filter: { stage: { in: [PROSPECTING, ENGAGING] } }) {\n    nodes { reference stage product customer { name } owner { displayName } engagedAt }\n    totalCount\n  }\n}",
  "sales by month": "{\n  salesReport(groupBy: [MONTH]) { month won lost wonValue }\n}",
  "latest activity": "{\n  activity(last: 20) {\n    nodes { position occurredAt type actor { displayName } summary reason }\n  }\n}",
  "read models": "{\n  readModels { name version position behind parked status error }\n}",
  "parked events": "{\n  parkedEvents(first: 20) {\n    nodes { readModel position type category streamId since waiting error data }\n    pageInfo { hasNextPage endCursor }\n  }\n}",
  "register a customer": 'mutation {\n  registerCustomer(input: { name: "Example Ltd", sector: "retail" }) {\n    customer { id version name }\n    receipt { position }\n  }\n}',
};

async function ask(query, variables = {}) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = "Bearer " + token;
  const response = await fetch("/graphql", { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return response.json();
}

function show(answer) {
  $("answer").textContent = JSON.stringify(answer, null, 2);
}

async function run() {
  let variables;
  try {
    variables = JSON.parse($("variables").value || "{}");
  } catch (e) {
    show("The variables are not JSON: " + e.message);
    return;
  }
  const start = performance.now();
  try {
    show(await ask($("query").value, variables));
    $("took").textContent = Math.round(performance.now() - start) + " ms";
  } catch (e) {
    show("No answer: " + e.message);
  }
}

async function signIn(event) {
  event.preventDefault();
  $("sign-in-error").textContent = "";
  try {
    const answer = await ask("mutation($i: LogInInput!) { logIn(input: $i) { token viewer { permissions account { displayName } } } }", {
      i: { loginName: $("login-name").value, password: $("password").value },
    });
    $("password").value = "";
    if (answer.errors) throw new Error(answer.errors[0].message);
    token = answer.data.logIn.token;
    $("viewer-name").textContent = answer.data.logIn.viewer.account.displayName;
    $("permissions").textContent = answer.data.logIn.viewer.permissions.join(", ");
    const where = await ask("{ organization { name } }");
    $("organization-name").textContent = where.data ? where.data.organization.name : "";
    signed(true);
  } catch (e) {
    $("sign-in-error").textContent = e.message;
  }
}

async function signOut() {
  try {
    await ask("mutation { logOut { ended } }");
  } finally {
    token = "";
    signed(false);
    $("answer").textContent = "";
  }
}

function signed(yes) {
  $("who-title").textContent = yes ? "Signed in" : "Sign in";
  $("sign-in").hidden = yes;
  $("signed-in").hidden = !yes;
}

function curl() {
  const body = JSON.stringify({ query: $("query").value }).replaceAll("'", "'\\''");
  return `curl -s ${location.origin}/graphql \\\n  -H 'Content-Type: application/json' -H 'Authorization: Bearer ${token}' \\\n  -d '${body}'`;
}

function copy(button, text) {
  navigator.clipboard.writeText(text).then(() => {
    const label = button.innerHTML;
    button.textContent = "Copied";
    setTimeout(() => (button.innerHTML = label), 1200);
  });
}

function row(model) {
  const tr = document.createElement("tr");
  const name = tr.insertCell();
  const status = tr.insertCell();
  const behind = tr.insertCell();
  name.textContent = model.name;
  const dot = document.createElement("span");
  dot.className = "dot " + model.status;
  status.append(dot, model.status.replace("_", " "));
  if (model.parked > 0) {
    const parked = document.createElement("span");
    parked.className = "parked";
    parked.textContent = `, ${model.parked.toLocaleString()} parked`;
    status.append(parked);
  }
  behind.className = "number";
  behind.textContent = model.behind === null ? "?" : model.behind.toLocaleString();
  return tr;
}

// warn says what to do about parked events, while there are any.
function warn(models) {
  const names = models.filter((model) => model.parked > 0).map((model) => model.name).join(", ");
  $("parked").hidden = names === "";
  if ($("parked-models").textContent !== names) $("parked-models").textContent = names; // read out once
}

async function look() {
  let state;
  try {
    state = await (await fetch("/readyz")).json();
  } catch {
    state = { ready: false, problems: ["the server does not answer"], readModels: [] };
  }
  $("ready").className = "dot " + (state.ready ? "live" : "failed");
  $("ready-text").textContent = state.ready ? "ready" : state.problems.join("; ");
  $("version").textContent = state.version ? "· " + state.version : "";
  $("models").replaceChildren(...state.readModels.map(row));
  warn(state.readModels);
  setTimeout(look, 3000);
}

for (const [name, query] of Object.entries(examples)) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => ($("query").value = query));
  $("examples").append(button);
}
$("query").value = examples["latest activity"];
$("sign-in").addEventListener("submit", signIn);
$("sign-out").addEventListener("click", signOut);
$("run").addEventListener("click", run);
$("copy").addEventListener("click", (e) => copy(e.currentTarget, $("query").value));
$("copy-curl").addEventListener("click", (e) => copy(e.currentTarget, curl()));
$("query").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) run();
});
look();
