// The JSON of the presign protocol (docs/protocol.md).

export type UploadMode = "put" | "multipart";

export interface SignedPut {
  mode: "put";
  presigned_url: string;
  headers: Record<string, string>;
  expires_at: string;
}

export interface SignedPart {
  part_number: number;
  offset: number;
  size: number;
  presigned_url: string;
  headers: Record<string, string>;
}

export interface SignedParts {
  mode: "multipart";
  part_size: number;
  part_count: number;
  parts: SignedPart[];
  received: { part_number: number; size: number; etag?: string }[];
  expires_at: string;
}

/** Where the bytes go. */
export type Signed = SignedPut | SignedParts;

/** Where an upload stands. */
export interface UploadStatus {
  upload_uuid: string;
  status: "pending" | "uploading" | "finalizing" | "completed" | "failed" | "aborted" | "expired";
  mode?: UploadMode | "proxied";
  size?: number;
  digest?: string;
  failure?: { code: string; message: string };
  /** While it is finalized, in bytes of its phase. */
  progress?: { phase: string; done: number; total: number };
}

export interface FinalizeBody {
  parts?: { part_number: number; etag: string }[];
  sha256_midstates?: string[];
}
