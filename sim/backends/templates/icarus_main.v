// Streams a job through the chip, as driver.h does: +job=FOLDER [+waves=FILE]
`timescale 1ns / 1ps

module testbench;
  reg clk = 0, rst = 1, in_valid = 0;
  reg [@LINK_BITS@:0] in_payload = 0;
  wire in_ready, out_valid;
  wire [@LINK_BITS@-1:0] out_payload;
  wire [31:0] fault;
  wire [@COUNTED_BITS@-1:0] counted;
  reg [@COUNTED_BITS@-1:0] last, changed;
  localparam ENTRIES = @ENTRIES@;
  // One bit, and one flit, where there are none.
  reg [ENTRIES:0] entry_valid = 0;
  reg [(ENTRIES + 1)*@LINK_BITS@-1:0] entry_payload = 0;
  wire [ENTRIES:0] entry_ready;
  integer entry, entries, entry_flits [0:ENTRIES], entry_file [0:ENTRIES];
  integer entry_sent [0:ENTRIES], entry_begun [0:ENTRIES];
  reg [ENTRIES:0] entry_taken;
  reg [@LINK_BITS@-1:0] next_payload;
  reg [8*1100-1:0] entry_name;

  @TOP@ chip (
    .clk(clk), .rst(rst),
    .host_in__valid(in_valid), .host_in__payload(in_payload), .host_in__ready(in_ready),
    @ENTRY_PORTS@.host_out__valid(out_valid), .host_out__payload(out_payload), .host_out__ready(1'b1),
    .@COUNTED@(counted), .fault(fault)
  );

  reg [8*1024-1:0] folder, waves;
  integer flits, result, place, status;
  integer config_flits, frame_flits, frames, outputs, idle_limit;
  integer sent, next_frame, cycle, came, moved, total, wanted, begun;
  // Cycles in which a bit was 1, and since when it is.
  integer count [0:@COUNTED_BITS@-1], since [0:@COUNTED_BITS@-1];
  reg in_taken, running;

  // The first flit of a frame: of one that no other port has begun?
  task begins;
    input integer frame;
    if (frame > begun) begin
      $fdisplay(result, "i %0d", cycle);
      begun = frame;
    end
  endtask

  // What is counted has these values from this cycle on.
  task counts;
    input [@COUNTED_BITS@-1:0] now;
    begin
      changed = last ^ now;
      if (changed != 0)
        for (place = 0; place < @COUNTED_BITS@; place = place + 1)
          if (changed[place]) begin
            if (now[place]) since[place] = cycle;
            else count[place] = count[place] + cycle - since[place];
          end
      last = now;
    end
  endtask

  task edge_of_clock;
    begin
      #5 clk = 1;
      #5 clk = 0;
    end
  endtask

  initial begin
    if (!$value$plusargs("job=%s", folder)) $finish;
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, chip);
    end
    flits = $fopen({folder, "/job.txt"}, "r");
    status = $fscanf(flits, "%d %d %d %d %d %d", config_flits, frame_flits, frames, outputs, idle_limit, entries);
    for (entry = 0; entry < entries; entry = entry + 1) begin
      status = $fscanf(flits, "%d", entry_flits[entry]);
      $sformat(entry_name, "%0s/entry%0d.hex", folder, entry);
      entry_file[entry] = $fopen(entry_name, "r");
      entry_sent[entry] = 0;
      entry_begun[entry] = 0;
      status = $fscanf(entry_file[entry], "%h", next_payload);
      entry_payload[entry*@LINK_BITS@ +: @LINK_BITS@] = next_payload;
    end
    $fclose(flits);
    flits = $fopen({folder, "/flits.hex"}, "r");
    result = $fopen({folder, "/result.txt"}, "w");
    for (place = 0; place < @COUNTED_BITS@; place = place + 1) count[place] = 0;
    last = 0;
    repeat (@RESET_CYCLES@) edge_of_clock;
    rst = 0;
    total = config_flits + frame_flits * frames;
    wanted = outputs * frames;
    next_frame = config_flits;
    sent = 0; cycle = 0; came = 0; moved = 0; begun = 0; running = 1;
    if (total > 0) status = $fscanf(flits, "%h", in_payload);
    while (running) begin
      in_valid = sent < total;
      for (entry = 0; entry < entries; entry = entry + 1)
        entry_valid[entry] = entry_sent[entry] < entry_flits[entry] * frames;
      #1;
      entry_taken = entry_valid & entry_ready;
      if (in_valid && in_ready) begin
        if (sent == next_frame) begin
          begins(begun + 1);
          next_frame = next_frame + frame_flits;
        end
        moved = cycle;
      end
      for (entry = 0; entry < entries; entry = entry + 1)
        if (entry_taken[entry]) begin
          if (entry_sent[entry] % entry_flits[entry] == 0) begin
            entry_begun[entry] = entry_begun[entry] + 1;
            begins(entry_begun[entry]);
          end
          moved = cycle;
        end
      if (begun > 0) counts(counted);
      if (fault[0]) begin
        $fdisplay(result, "e %0d %0d", cycle, fault);
        running = 0;
      end
      if (out_valid) begin
        $fdisplay(result, "o %0d %0d", cycle, out_payload);
        moved = cycle;
        came = came + 1;
        if (came % outputs == 0) begin
          $display("p %0d", came / outputs);
          $fflush;
        end
        if (came == wanted) running = 0;
      end else if (cycle - moved >= idle_limit) begin
        $fdisplay(result, "h %0d", cycle);
        running = 0;
      end
      in_taken = in_valid && in_ready;
      edge_of_clock;
      // The next words only after the edge that takes these.
      if (in_taken) begin
        sent = sent + 1;
        if (sent < total) status = $fscanf(flits, "%h", in_payload);
        else in_payload = 0;
      end
      for (entry = 0; entry < entries; entry = entry + 1)
        if (entry_taken[entry]) begin
          entry_sent[entry] = entry_sent[entry] + 1;
          status = $fscanf(entry_file[entry], "%h", next_payload);
          entry_payload[entry*@LINK_BITS@ +: @LINK_BITS@] = next_payload;
        end
      cycle = cycle + 1;
    end
    counts(0);
    for (place = 0; place < @COUNTED_BITS@; place = place + 1) $fdisplay(result, "b %0d", count[place]);
    $fdisplay(result, "c %0d", cycle);
    $fclose(result);
    $finish(0);
  end
endmodule
