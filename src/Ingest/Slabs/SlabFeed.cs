namespace DistTrain.Ingest;

/// <summary>Gives the bytes of a list of sources in order, piece by piece. Opens and starts nothing before the first piece is asked for. Used by one thread.</summary>
internal abstract class SlabFeed : IDisposable
{
    /// <summary>How many sources there are.</summary>
    internal abstract int FileCount { get; }

    /// <summary>A source's name for messages.</summary>
    internal abstract string NameOf(int file);

    /// <summary>Begins elsewhere than at the start. Only before the first piece.</summary>
    internal abstract void Seek(int file, long offset);

    /// <summary>
    /// Takes the next piece; blocks. Each source ends with a piece that says so, be it an empty one; what can't be read is told by a piece too, and the next source follows.
    /// </summary>
    /// <returns>False behind the last source.</returns>
    /// <exception cref="OperationCanceledException">The pipeline was stopped.</exception>
    internal abstract bool TryNext(out SlabPiece piece);

    /// <summary>
    /// Whether, as things stand, one thread may take the next piece while another still reads its own: see <see cref="TryClaim"/>.
    /// </summary>
    internal virtual bool CanShare => false;

    /// <summary>
    /// Takes the next piece as a claim: <see cref="Fill"/> then brings its bytes, on any thread and beside others. One claim at a time; what can't be shared is read here.
    /// </summary>
    /// <returns>False behind the last source.</returns>
    internal virtual bool TryClaim(out SlabClaim claim)
    {
        bool isThere = TryNext(out SlabPiece piece);
        claim = new SlabClaim(piece, null, 0);
        return isThere;
    }

    /// <summary>Makes good a claim; blocks. An error is told by the piece; further pieces of that source may follow and mean nothing.</summary>
    /// <exception cref="OperationCanceledException">The pipeline was stopped; the claim is void.</exception>
    internal virtual SlabPiece Fill(in SlabClaim claim) => claim.Piece;

    /// <summary>The rest of a source is not wanted; its last piece comes all the same. May be called at any time, also when it has ended.</summary>
    internal abstract void SkipRest(int file);

    /// <summary>Closes what is open and gives back what is held.</summary>
    public abstract void Dispose();
}
