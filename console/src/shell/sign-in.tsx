import { Dialog } from "../parts/dialog.tsx";
import { asked, PATTERN, signIn } from "../session.ts";

/** Asks for a token while the service refuses to answer without one. The page behind then goes on. */
export function SignIn() {
  if (!asked.value) return null;
  return (
    <Dialog title="Sign in">
      {asked.value === "refused" ? (
        <p>The token has expired, or is not accepted here. Enter another one; the page then goes on.</p>
      ) : (
        <p>
          This service needs a token: one that <code>verbatim console</code> makes, or your own.
        </p>
      )}
      <form onSubmit={submit}>
        <label>
          <span>Token</span>
          <input
            name="token"
            type="password"
            autoComplete="current-password"
            required
            pattern={PATTERN}
            title="ASCII characters without spaces"
            autofocus
            spellcheck={false}
            aria-describedby="token-kept"
          />
        </label>
        <p id="token-kept" class="hint">
          It is kept until you close or reload this page, and not stored.
        </p>
        <p class="actions">
          <button type="submit">Sign in</button>
        </p>
      </form>
    </Dialog>
  );
}

function submit(event: SubmitEvent): void {
  event.preventDefault();
  const field = (event.currentTarget as HTMLFormElement).elements.namedItem("token") as HTMLInputElement;
  signIn(field.value);
}
