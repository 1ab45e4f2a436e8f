import { render } from "preact";
import { enter } from "./session.ts";
import { App } from "./shell/app.tsx";

enter();
render(<App />, document.body);
