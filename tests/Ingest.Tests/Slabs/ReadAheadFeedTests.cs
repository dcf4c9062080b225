namespace DistTrain.Ingest.Tests;

/// <summary>Pieces read by two threads side by side come in order, whoever is faster; errors come in their places; nothing stays lent.</summary>
public sealed class ReadAheadFeedTests
{
    private const int PieceCount = 300;

    [Theory]
    [InlineData(0, 0)]
    [InlineData(200, 0)]
    [InlineData(0, 200)]
    [InlineData(50, 50)]
    public void Pieces_come_in_order_whoever_reads_them(int readSpins, int takeSpins)
    {
        using StreamContext root = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        StreamContext own = root.CreateStoppable();
        using (ReadAheadFeed feed = new(new NumberedFeed(root.Slabs, readSpins, failAt: -1), "Test", own))
        {
            for (int i = 0; i < PieceCount; i++)
            {
                Assert.True(feed.TryNext(out SlabPiece piece));
                Assert.Equal((byte)i, piece.Slab!.Bytes[piece.Start]);
                Assert.Equal(i == PieceCount - 1, piece.IsEnd);
                piece.Release();
                Thread.SpinWait(takeSpins);
            }
            Assert.False(feed.TryNext(out _));
            Assert.False(feed.TryNext(out _));
        }
        Assert.Equal(0, root.Slabs.OutstandingCount);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(250)]
    public void An_error_comes_where_the_bytes_would_have_come(int failAt)
    {
        using StreamContext root = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        StreamContext own = root.CreateStoppable();
        using (ReadAheadFeed feed = new(new NumberedFeed(root.Slabs, 20, failAt), "Test", own))
        {
            for (int i = 0; i < failAt; i++)
            {
                Assert.True(feed.TryNext(out SlabPiece piece));
                Assert.Null(piece.Error);
                piece.Release();
            }
            Assert.True(feed.TryNext(out SlabPiece failed));
            Assert.Equal("piece " + failAt, failed.Error!.Message);
        }
        Assert.Equal(0, root.Slabs.OutstandingCount);
    }

    [Fact]
    public void Ending_at_any_moment_leaves_nothing_lent_and_no_thread()
    {
        for (int taken = 0; taken < 40; taken++)
        {
            using StreamContext root = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
            StreamContext own = root.CreateStoppable();
            using (ReadAheadFeed feed = new(new NumberedFeed(root.Slabs, taken * 10, failAt: -1), "Test", own))
            {
                for (int i = 0; i < taken; i++)
                {
                    Assert.True(feed.TryNext(out SlabPiece piece));
                    piece.Release();
                }
            }
            Assert.Equal(0, root.Slabs.OutstandingCount);
        }
    }

    /// <summary>Pieces of one byte, their numbers, that can be filled by several threads.</summary>
    private sealed class NumberedFeed(SlabPool pool, int spins, int failAt) : SlabFeed
    {
        private int _claimed;

        internal override int FileCount => 1;

        internal override bool CanShare => true;

        internal override string NameOf(int file) => "numbers";

        internal override void Seek(int file, long offset) => throw new NotSupportedException();

        internal override void SkipRest(int file)
        {
        }

        internal override bool TryNext(out SlabPiece piece) => throw new NotSupportedException();

        internal override bool TryClaim(out SlabClaim claim)
        {
            claim = default;
            if (_claimed == PieceCount) return false;
            Slab slab = pool.Rent(1);
            claim = new SlabClaim(new SlabPiece { Slab = slab, Start = slab.Origin, Length = 1, IsEnd = _claimed == PieceCount - 1 }, null, _claimed++);
            return true;
        }

        internal override SlabPiece Fill(in SlabClaim claim)
        {
            // Some take longer than others.
            Thread.SpinWait(spins * (int)(claim.Offset % 5));
            SlabPiece piece = claim.Piece;
            piece.Slab!.Bytes[piece.Start] = (byte)claim.Offset;
            if (claim.Offset != failAt) return piece;
            piece.Release();
            return new SlabPiece { IsEnd = true, Error = new IOException($"piece {failAt}") };
        }

        public override void Dispose()
        {
        }
    }
}
