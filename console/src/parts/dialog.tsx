import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface Props {
  title: string;
  children: ComponentChildren;
  /** Left out for a dialog that cannot be left. */
  onClose?: () => void;
}

/** A dialog over the page, which holds the focus while it is open. */
export function Dialog({ title, children, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        if (!onClose) event.preventDefault();
      }}
      onClose={onClose}
    >
      <header>
        <h2 id={id}>{title}</h2>
        {onClose && (
          <button type="button" class="quiet" onClick={onClose}>
            Close
          </button>
        )}
      </header>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  /** What the button says that does it: a verb. */
  does: string;
  onConfirm: () => void;
  onClose: () => void;
}

/** Asks before something is done that cannot be undone, or that others notice. */
export function Confirm({ title, children, does, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <p class="actions">
        <button type="button" onClick={onConfirm}>
          {does}
        </button>
        <button type="button" class="quiet" onClick={onClose} autofocus>
          Leave it
        </button>
      </p>
    </Dialog>
  );
}
